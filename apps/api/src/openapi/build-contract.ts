import { tmpdir } from "node:os";
import { join } from "node:path";
import { createNotifier, openPostgres } from "@pipeline/db";
import { createLocalEmbedder } from "@pipeline/embedding";
import { createLogger, parseEnvironment } from "@pipeline/runtime";
import { createDiskStore } from "@pipeline/storage";
import { buildApi } from "../app.ts";
import { createServiceVerifier } from "../auth/service-verifier.ts";
import { createTokenVerifier } from "../auth/token-verifier.ts";
import { settingsFrom } from "../settings.ts";
import type { ContractDocument } from "./contract-document.ts";

/** The contract with default settings and every route there is. Nothing is connected to, and no file is made. */
export async function buildContract(): Promise<ContractDocument> {
  const secret = "nothing is ever signed with this one";
  const database = openPostgres({
    url: "postgres://127.0.0.1:1/nowhere",
    schemaName: "upload_pipeline",
    applicationName: "contract",
    poolSize: 1,
    onIdleError: () => undefined,
  });
  const notifier = createNotifier(database, { onError: () => undefined });
  const app = await buildApi({
    database,
    storage: createDiskStore({ directory: join(tmpdir(), "contract"), publicUrl: () => "", secret }),
    embedder: createLocalEmbedder(),
    checkParser: async () => undefined,
    notifier,
    verifyToken: createTokenVerifier({ secret }),
    verifyService: createServiceVerifier({ secret }),
    log: createLogger({ level: "silent", service: "api" }),
    settings: settingsFrom(parseEnvironment({ ENVIRONMENT: "test" }, "local")),
  });
  try {
    await app.ready();
    return app.describeContract();
  } finally {
    await app.close();
    await notifier.close();
    await database.close();
  }
}
