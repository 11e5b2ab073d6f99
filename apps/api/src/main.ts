import {
  createEmbedder,
  createEmbedderCheck,
  createParserCheck,
  listenPort,
  openDatabase,
  openStorage,
  publicUrl,
  selfTest,
} from "@pipeline/composition";
import { checkSchemaVersion, createNotifier } from "@pipeline/db";
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
  await checkSchemaVersion(database);
  const storage = await openStorage(environment, { publicUrl: () => publicUrl(environment) });
  const checkEmbedder = createEmbedderCheck(environment);
  const checkParser = createParserCheck(environment);
  await selfTest({ storage, checkParser, checkEmbedder }, log);
  const notifier = createNotifier(database, { onError: (err) => log.warn({ err }, "wake-up not sent") });
  const tokens = await tokenSettings(environment);
  const api = await buildApi({
    database,
    storage,
    embedder: createEmbedder(environment),
    checkParser,
    checkEmbedder,
    notifier,
    verifyToken: createTokenVerifier(tokens),
    verifyService: createServiceVerifier({ ...tokens, ...serviceKey(environment) }),
    log,
    settings: settingsFrom(environment, build),
  });
  closeOnSignal({
    log,
    close: async () => {
      await api.close();
      await notifier.close();
      await database.close();
    },
  });
  const listening = { host: environment.SERVICE_HOST, port: listenPort(environment) };
  await api.listen(listening);
  log.info(listening, "listening");
}
