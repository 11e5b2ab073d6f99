import type { FaultCounts } from "./plan.ts";

export interface ChaosOptions {
  /** A Postgres server to make a database on; undefined: a container of its own, which it may restart. */
  url: string | undefined;
  /** Repeats the plan of faults, the documents and the choice of victims, as far as their timing is the same. */
  seed: number;
  /** How long load and faults last. */
  seconds: number;
  /** Faults that a slow machine puts off are carried out for so long, from the start; whatever is not done by then is missed. */
  latestSeconds: number;
  /** How long everything may take to finish after the last fault. */
  settleSeconds: number;
  /** Most documents to send; fewer when the workers do not keep up. */
  documents: number;
  /** Worker processes alive at once. */
  workers: number;
  counts: FaultCounts;
  /**
   * No random fault hits a worker that holds a job which has lost two workers on its stage. A third one makes any job
   * poison, whoever killed the workers; how often that happens by chance is what a run with `false` measures, and it fails.
   */
  sparesSuspects: boolean;
}

/** The long form: some ten minutes, a kill every 2.5 s. */
export const LONG: Omit<ChaosOptions, "url" | "seed"> = {
  seconds: 540,
  latestSeconds: 700,
  settleSeconds: 120,
  documents: 2_000,
  // With fewer most are starting, or stand still as zombies, and jobs of the dead wait for room rather than for the rescue.
  workers: 6,
  counts: { kill: 210, graceful: 16, zombie: 8, hole: 6, terminate: 40, restart: 3, crash: 3 },
  sparesSuspects: true,
};

/** For every change: about a minute. */
export const SHORT: Omit<ChaosOptions, "url" | "seed"> = {
  seconds: 50,
  latestSeconds: 150,
  settleSeconds: 120,
  documents: 120,
  workers: 3,
  counts: { kill: 10, graceful: 1, zombie: 1, hole: 1, terminate: 4, restart: 0, crash: 1 },
  sparesSuspects: true,
};
