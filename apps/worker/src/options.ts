import type { Budgets, Database, Stage } from "@pipeline/db";
import type { Embedder } from "@pipeline/embedding";
import type { WorkerMetrics } from "@pipeline/metrics";
import type { ParseLimits } from "@pipeline/parsing";
import type { Logger } from "@pipeline/runtime";
import type { ObjectStore } from "@pipeline/storage";
import type { Tracing } from "@pipeline/telemetry";
import type { Parser } from "./stage-handler.ts";

export interface WorkerOptions {
  /** Shown with the session; need not be unique. */
  workerName: string;
  /** Jobs in hand at once. */
  concurrency: number;
  /** Jobs of one user that all workers together have in hand at most; undefined: as many as there are slots. */
  maxJobsPerUser?: number | undefined;
  /** Longest wait between two looks for work when nothing wakes the worker. */
  pollIntervalMs: number;
  /** How long after its last heartbeat a worker counts as dead. Heartbeats go out at a third of it. */
  leaseMs: number;
  /** At most this often does this worker look for retries and waits whose time has come. */
  promoteIntervalMs: number;
  /** How often this worker looks for jobs of dead ones. */
  rescueIntervalMs: number;
  /** Retries per stage; the attempt after the last one dead-letters the job. */
  maxRetries: number;
  retryBaseDelayMs: number;
  /** A job that this many workers died on, at one stage, is dead-lettered as poison. */
  maxCrashes: number;
  /** How long after its end the history of a job, or of a worker, is kept; undefined: for ever. */
  historyMs?: number | undefined;
  /** Where documents lie while they are worked on; the system's directory for temporary files. */
  copiesDirectory: string;
  /** Limits of one parse; the parser's own by default. */
  parseLimits?: ParseLimits;
  /** What may be paid per day; without them nothing is held back. */
  budgets?: Budgets | undefined;
  /** Longest wait for a provider's limits with the job in hand; for longer ones it is given back. */
  longestRateWaitMs?: number | undefined;
  /** Shorter deadlines than the pipeline table's. A longer one would outlive the lease, so the table's wins then. */
  stageDeadlinesMs?: Partial<Record<Stage, number>>;
}

export interface WorkerDependencies {
  database: Database;
  storage: ObjectStore;
  embedder: Embedder;
  /** The local parser by default. */
  parser?: Parser | undefined;
  log: Logger;
  options: WorkerOptions;
  /** 0 up to, not including, 1; spreads retries. Math.random by default. */
  random?: () => number;
  /** What is counted; nobody sees it by default. */
  metrics?: WorkerMetrics | undefined;
  /** Where claims and stages are spans; nothing is traced by default. */
  tracing?: Tracing | undefined;
  /** Milliseconds that never go back; by them the worker tells how long ago it last did something. */
  clock?: () => number;
}
