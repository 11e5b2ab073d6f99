import type { Monitoring } from "@pipeline/composition";
import type { Database } from "@pipeline/db";
import { readRegistry } from "@pipeline/metrics";
import type { Environment, Logger } from "@pipeline/runtime";
import { findDeadly } from "../vitals.ts";
import type { Worker } from "../worker.ts";
import { createReport } from "./report-health.ts";
import { startHealthServer } from "./start-health-server.ts";

export interface HealthPort {
  environment: Pick<Environment, "SERVICE_HOST" | "WORKER_HEALTH_PORT" | "METRICS_TOKEN">;
  database: Database;
  monitoring: Monitoring;
  worker: Worker;
  build: string;
  log: Logger;
}

/** Answers on WORKER_HEALTH_PORT, nowhere without it. Answers how to stop that. */
export async function openHealthPort(options: HealthPort): Promise<() => Promise<void>> {
  const { environment, database, worker, build, log } = options;
  const { watch, registry } = options.monitoring;
  const port = environment.WORKER_HEALTH_PORT;
  if (port === undefined) return async () => undefined;
  const server = await startHealthServer({
    host: environment.SERVICE_HOST,
    port,
    findDeadly: () => findDeadly(worker.vitals()),
    report: createReport({ database, watch, readVitals: () => worker.vitals(), build }),
    readMetrics: () => readRegistry(registry),
    metricsToken: environment.METRICS_TOKEN,
    log,
  });
  log.info({ port: server.port }, "health port open");
  return () => server.close();
}
