import type { Monitoring } from "@pipeline/composition";
import type { Database, Notifier } from "@pipeline/db";
import type { Embedder } from "@pipeline/embedding";
import type { Logger } from "@pipeline/runtime";
import type { DiskStore, ObjectStore } from "@pipeline/storage";
import type { Tracing } from "@pipeline/telemetry";
import type { ServiceVerifier } from "./auth/service-verifier.ts";
import type { TokenVerifier } from "./auth/token-verifier.ts";
import type { ApiSettings } from "./settings.ts";

/** Everything that the API works with; nothing of it is closed by the API. */
export interface ApiDependencies {
  database: Database;
  /** A disk store's upload links are served by the API itself; any other store serves its own. */
  storage: ObjectStore | DiskStore;
  embedder: Embedder;
  /** Asks the parsing provider, without cost, whether it would serve the workers; undefined where they read themselves. */
  checkParser?: (() => Promise<void>) | undefined;
  /** Asks the embedding provider, without cost, whether it would serve us; undefined where nothing outside embeds. */
  checkEmbedder?: (() => Promise<void>) | undefined;
  notifier: Notifier;
  verifyToken: TokenVerifier;
  /** Who may act on everybody's documents. */
  verifyService: ServiceVerifier;
  /** False until the database is known to be the right one; it may be away when the API starts. */
  isOpen?: () => boolean;
  /** What is counted and who watches; without it nothing is shown of what is counted, and nobody watches. */
  monitoring?: Pick<Monitoring, "registry" | "watch">;
  /** Where requests are spans; nothing is traced without it. */
  tracing?: Tracing;
  log: Logger;
  settings: ApiSettings;
}
