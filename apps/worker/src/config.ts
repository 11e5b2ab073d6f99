import { hostname, tmpdir } from "node:os";
import { type Environment, loadEnvironment } from "@pipeline/runtime";
import manifest from "../package.json" with { type: "json" };
import type { WorkerOptions } from "./options.ts";

export interface WorkerConfig {
  environment: Environment;
  options: WorkerOptions;
  /** Version of the worker, with the commit that it was built from. */
  build: string;
}

/** The worker process's configuration. Prints every fault and ends the process when it is broken. */
export function loadWorkerConfig(): WorkerConfig {
  const environment = loadEnvironment(process.env, "worker");
  const commit = process.env["RENDER_GIT_COMMIT"] ?? environment.BUILD_COMMIT;
  return { environment, options: workerOptions(environment), build: `${manifest.version}+${commit.slice(0, 12)}` };
}

/**
 * Dead workers are noticed after the lease and the longest wait until the next rescue: 12 s + 2 s, of the 20 s that are
 * promised.
 */
const LEASE_MS = 12_000;
const RESCUE_INTERVAL_MS = 2_000;
/** Short beside the shortest back-off, and no look before each claim of a busy worker. */
const PROMOTE_INTERVAL_MS = 200;
/** SPEC: a job that kills its worker three times is poison. */
const MAX_CRASHES = 3;

export function workerOptions(environment: Environment): WorkerOptions {
  return {
    workerName: `worker@${hostname()}`,
    concurrency: environment.WORKER_CONCURRENCY,
    maxJobsPerUser: environment.WORKER_MAX_JOBS_PER_USER,
    pollIntervalMs: environment.WORKER_POLL_INTERVAL * 1_000,
    leaseMs: LEASE_MS,
    promoteIntervalMs: PROMOTE_INTERVAL_MS,
    rescueIntervalMs: RESCUE_INTERVAL_MS,
    maxRetries: environment.WORKER_MAX_RETRIES,
    retryBaseDelayMs: environment.WORKER_RETRY_BASE_DELAY * 1_000,
    maxCrashes: MAX_CRASHES,
    historyMs: environment.WORKER_HISTORY_AGE === 0 ? undefined : environment.WORKER_HISTORY_AGE * 1_000,
    budgets: {
      usdPerDay: environment.BUDGET_USD_PER_DAY,
      usdPerUserPerDay: environment.BUDGET_USD_PER_USER_PER_DAY,
    },
    copiesDirectory: tmpdir(),
  };
}
