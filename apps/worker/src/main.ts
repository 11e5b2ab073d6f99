import {
  awaitSchema,
  createEmbedder,
  createEmbedderCheck,
  createLlamaParse,
  createMonitoring,
  createParserCheck,
  measureEmbedder,
  measureLlamaParse,
  measureStore,
  openDatabase,
  openStorage,
  publicUrl,
  selfTest,
} from "@pipeline/composition";
import { createWorkerMetrics } from "@pipeline/metrics";
import { createLogger, explainFailure, type Logger } from "@pipeline/runtime";
import { loadWorkerConfig, type WorkerConfig } from "./config.ts";
import { createParser } from "./create-parser.ts";
import { endWhenDead } from "./end-when-dead.ts";
import { openHealthPort } from "./health/open-health-port.ts";
import { createWorker } from "./worker.ts";

/** Below the 30 s that Render and Docker's compose file grant between SIGTERM and SIGKILL. */
const DRAIN_MS = 25_000;

const config = loadWorkerConfig();
const log = createLogger({
  level: config.environment.WORKER_LOG_LEVEL ?? config.environment.LOG_LEVEL,
  service: "worker",
});
const stopWith = stopOnSignals(log);
exitOnFatalErrors(log);
try {
  await runWorker(config, log);
} catch (error) {
  log.fatal({ err: error }, "worker did not start");
  process.stderr.write(`The worker did not start. ${explainFailure(error)}\n`);
  process.exit(1);
}

/** After either of these nobody knows what state the process is in; its jobs are rescued. */
function exitOnFatalErrors(to: Logger): void {
  const exit = (err: unknown): void => {
    to.fatal({ err }, "worker failed");
    process.exit(1);
  };
  process.on("uncaughtException", exit);
  process.on("unhandledRejection", exit);
}

async function runWorker({ environment, options, build }: WorkerConfig, to: Logger): Promise<void> {
  const database = await openDatabase(environment, "worker", to);
  const schemaVersion = await awaitSchema(database, { log: to });
  const storage = await openStorage(environment, { publicUrl: () => publicUrl(environment) });
  const checks = { checkParser: createParserCheck(environment), checkEmbedder: createEmbedderCheck(environment) };
  await selfTest({ storage, ...checks }, to);
  const embedder = createEmbedder(environment);
  const llamaparse = createLlamaParse(environment);
  const parts = { environment, database, build, log: to };
  const monitoring = await createMonitoring({ ...parts, service: "worker", embedModel: embedder.model });
  const { registry, calls, watch, tracing } = monitoring;
  const worker = createWorker({
    database,
    storage: measureStore(storage, calls),
    embedder: measureEmbedder(embedder, calls),
    parser: createParser(llamaparse && { ...llamaparse, client: measureLlamaParse(llamaparse.client, calls) }),
    metrics: createWorkerMetrics(registry),
    tracing,
    log: to,
    options,
  });
  const closeHealthPort = await openHealthPort({ ...parts, monitoring, worker });
  stopWith(async () => {
    await worker.stop({ deadlineMs: DRAIN_MS });
    await closeHealthPort();
    await watch.stop();
    await llamaparse?.client.close();
    await database.close();
    await tracing.close();
  });
  watch.start();
  endWhenDead({ readVitals: () => worker.vitals(), log: to, exit: () => process.exit(1) });
  await worker.start();
  const { concurrency } = options;
  to.info({ schema: database.schemaName, schema_version: schemaVersion, concurrency }, "worker started");
}

/**
 * A signal stops and exits, a second one exits at once. For the first moment of the process: as number 1 of a container it
 * would never see a signal that nothing listens for. What is stopped is said by the answered function; before that nothing is.
 */
function stopOnSignals(to: Logger): (stop: () => Promise<void>) => void {
  let stop: (() => Promise<void>) | undefined;
  let isStopping = false;
  const onSignal = async (): Promise<void> => {
    if (isStopping) process.exit(1);
    isStopping = true;
    await stop?.();
    to.info("worker stopped");
    process.exit(0);
  };
  // A rejection ends the process through `unhandledRejection`.
  process.on("SIGTERM", () => void onSignal());
  process.on("SIGINT", () => void onSignal());
  return (what) => {
    stop = what;
  };
}
