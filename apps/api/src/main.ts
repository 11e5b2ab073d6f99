import {
  awaitSchema,
  createEmbedder,
  createEmbedderCheck,
  createMonitoring,
  createParserCheck,
  listenPort,
  measureEmbedder,
  measureStore,
  openDatabase,
  openStorage,
  publicUrl,
  selfTest,
} from "@pipeline/composition";
import { createNotifier, type Database } from "@pipeline/db";
import { type CloseWith, createLogger, runService, takeNoArguments } from "@pipeline/runtime";
import { buildApi } from "./app.ts";
import { createServiceVerifier } from "./auth/service-verifier.ts";
import { serviceKey, tokenSettings } from "./auth/token-settings.ts";
import { createTokenVerifier } from "./auth/token-verifier.ts";
import { loadApiConfig, type ApiConfig } from "./config.ts";
import { settingsFrom } from "./settings.ts";

takeNoArguments("api", "Serves the HTTP API on SERVICE_PORT until SIGTERM or Ctrl-C.");
const config = loadApiConfig();
const log = createLogger({ level: config.environment.LOG_LEVEL, service: "api" });
/** What a request in hand may still take; Render and Docker kill after 30 and 10 seconds. */
const CLOSE_WITHIN_MS = 9_000;

await runService({
  name: "API",
  log,
  closeWithinMs: CLOSE_WITHIN_MS,
  start: (closeWith) => serve(config, closeWith),
});

async function serve({ environment, build }: ApiConfig, closeWith: CloseWith): Promise<void> {
  const database = await openDatabase(environment, "api", log);
  const schema = await findSchema(database);
  const storage = await openStorage(environment, { publicUrl: () => publicUrl(environment) });
  const checkEmbedder = createEmbedderCheck(environment);
  const checkParser = createParserCheck(environment);
  await selfTest({ storage, checkParser, checkEmbedder }, log);
  const notifier = createNotifier(database, { onError: (err) => log.warn({ err }, "wake-up not sent") });
  const tokens = await tokenSettings(environment);
  const embedder = createEmbedder(environment);
  const parts = { environment, database, build, log };
  const monitoring = await createMonitoring({ ...parts, service: "api", embedModel: embedder.model });
  const api = await buildApi({
    database,
    storage: measureStore(storage, monitoring.calls),
    embedder: measureEmbedder(embedder, monitoring.calls),
    monitoring,
    tracing: monitoring.tracing,
    checkParser,
    checkEmbedder,
    notifier,
    verifyToken: createTokenVerifier(tokens),
    verifyService: createServiceVerifier({ ...tokens, ...serviceKey(environment) }),
    isOpen: schema.isFound,
    log,
    settings: settingsFrom(environment, build),
  });
  closeWith(async () => {
    schema.stop();
    await api.close();
    await monitoring.watch.stop();
    await notifier.close();
    await database.close();
    await monitoring.tracing.close();
  });
  const listening = { host: environment.SERVICE_HOST, port: listenPort(environment) };
  await api.listen(listening);
  monitoring.watch.start();
  log.info(listening, "listening");
}

/**
 * Resolves when the schema was found, or the database is away: then the API serves, and answers 503 until it is back.
 * A schema that this code was not written for ends the process, whenever it shows.
 */
async function findSchema(database: Database): Promise<{ isFound: () => boolean; stop: () => void }> {
  const stopping = new AbortController();
  const away = Promise.withResolvers<void>();
  let isFound = false;
  const search = async (): Promise<void> => {
    await awaitSchema(database, { log, signal: stopping.signal, onAway: away.resolve });
    isFound = true;
  };
  const found = search();
  await Promise.race([found, away.promise]);
  found.catch((error: unknown) => {
    if (stopping.signal.aborted) return;
    log.fatal({ err: error }, "the database is not the right one");
    process.exit(1);
  });
  return { isFound: () => isFound, stop: () => stopping.abort() };
}
