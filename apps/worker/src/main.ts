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
import { openHealthPort } from "./health/open-health-port.ts";
import { createWorker, type Worker } from "./worker.ts";

/** Below the 30 s that Render and Docker's compose file grant between SIGTERM and SIGKILL. */
const DRAIN_MS = 25_000;

const config = loadWorkerConfig();
const log = createLogger({
  level: config.environment.WORKER_LOG_LEVEL ?? config.environment.LOG_LEVEL,
  service: "worker",
});
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
  stopOnSignals(worker, async () => {
    await closeHealthPort();
    await watch.stop();
    await llamaparse?.client.close();
    await database.close();
    await tracing.close();
    to.info("worker stopped");
  });
  watch.start();
  await worker.start();
  const { concurrency } = options;
  to.info({ schema: database.schemaName, schema_version: schemaVersion, concurrency }, "worker started");
}

function stopOnSignals(worker: Worker, close: () => Promise<void>): void {
  let isStopping = false;
  const onSignal = async (): Promise<void> => {
    if (isStopping) process.exit(1);
    isStopping = true;
    await worker.stop({ deadlineMs: DRAIN_MS });
    await close();
    process.exit(0);
  };
  // A rejection ends the process through `unhandledRejection`.
  process.on("SIGTERM", () => void onSignal());
  process.on("SIGINT", () => void onSignal());
}
