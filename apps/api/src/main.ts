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
import { createLogger, explainFailure } from "@pipeline/runtime";
import { buildApi } from "./app.ts";
import { createServiceVerifier } from "./auth/service-verifier.ts";
import { serviceKey, tokenSettings } from "./auth/token-settings.ts";
import { createTokenVerifier } from "./auth/token-verifier.ts";
import { closeOnSignal } from "./close-on-signal.ts";
import { loadApiConfig, type ApiConfig } from "./config.ts";
import { settingsFrom } from "./settings.ts";

const config = loadApiConfig();
const log = createLogger({ level: config.environment.LOG_LEVEL, service: "api" });
const closeWith = closeOnSignal(log);

function exitOn(event: "unhandledRejection" | "uncaughtException"): void {
  process.on(event, (error: unknown) => {
    log.fatal({ err: error }, event);
    process.exit(1);
  });
}
exitOn("unhandledRejection");
exitOn("uncaughtException");

try {
  await start(config);
} catch (error) {
  log.fatal({ err: error }, "API did not start");
  process.stderr.write(`The API did not start. ${explainFailure(error)}\n`);
  process.exit(1);
}

/** Serves until a signal comes. Whatever is wrong at the start ends the process with 1. */
async function start({ environment, build }: ApiConfig): Promise<void> {
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
