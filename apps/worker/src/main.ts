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
import { type CloseWith, createLogger, runService, takeNoArguments } from "@pipeline/runtime";
import { loadWorkerConfig, type WorkerConfig } from "./config.ts";
import { createParser } from "./create-parser.ts";
import { endWhenDead } from "./end-when-dead.ts";
import { openHealthPort } from "./health/open-health-port.ts";
import { loadStages } from "./load-stages.ts";
import { createWorker } from "./worker.ts";

/** For what is in hand; the rest is given back. */
const DRAIN_MS = 25_000;
/** Below the 40 s that Docker's compose file grants between SIGTERM and SIGKILL, and the 60 s of Render. */
const CLOSE_WITHIN_MS = 35_000;

takeNoArguments("worker", "Takes documents from uploaded to complete until SIGTERM or Ctrl-C; any number may run.");
const config = loadWorkerConfig();
const log = createLogger({
  level: config.environment.WORKER_LOG_LEVEL ?? config.environment.LOG_LEVEL,
  service: "worker",
});
await runService({
  name: "worker",
  log,
  closeWithinMs: CLOSE_WITHIN_MS,
  start: (closeWith) => work(config, closeWith),
});

async function work({ environment, options, build }: WorkerConfig, closeWith: CloseWith): Promise<void> {
  const database = await openDatabase(environment, "worker", log);
  const schemaVersion = await awaitSchema(database, { log });
  const storage = await openStorage(environment, { publicUrl: () => publicUrl(environment) });
  const checks = { checkParser: createParserCheck(environment), checkEmbedder: createEmbedderCheck(environment) };
  await selfTest({ storage, ...checks }, log);
  const embedder = createEmbedder(environment);
  const llamaparse = createLlamaParse(environment);
  const parts = { environment, database, build, log };
  const monitoring = await createMonitoring({ ...parts, service: "worker", embedModel: embedder.model });
  const { registry, calls, watch, tracing } = monitoring;
  const worker = createWorker({
    database,
    storage: measureStore(storage, calls),
    embedder: measureEmbedder(embedder, calls),
    parser: createParser(llamaparse && { ...llamaparse, client: measureLlamaParse(llamaparse.client, calls) }),
    metrics: createWorkerMetrics(registry),
    tracing,
    log,
    options,
  });
  const closeHealthPort = await openHealthPort({ ...parts, monitoring, worker });
  closeWith(async () => {
    await worker.stop({ deadlineMs: DRAIN_MS });
    await closeHealthPort();
    await watch.stop();
    await llamaparse?.client.close();
    await database.close();
    await tracing.close();
  });
  watch.start();
  endWhenDead({ readVitals: () => worker.vitals(), log, exit: () => process.exit(1) });
  await worker.start();
  const { concurrency } = options;
  log.info({ schema: database.schemaName, schema_version: schemaVersion, concurrency }, "worker started");
  // One that cannot have them ends, as one that cannot start.
  await loadStages();
}
