import { setImmediate } from "node:timers/promises";
import { isRetryable, toAppError } from "@pipeline/runtime";
import { advanceJobs, type Checkpoint } from "./checkpoints.ts";
import type { Queryable } from "./queryable.ts";

/** Commits checkpoints that store nothing but the step itself, many jobs in one statement. */
export interface CheckpointBatcher {
  /** False: the claim is lost. Rejects with the database's error. */
  advance(checkpoint: Checkpoint): Promise<boolean>;
}

interface Entry {
  checkpoint: Checkpoint;
  resolve: (isHeld: boolean) => void;
  reject: (error: unknown) => void;
}

/** One statement stays well below a second and a few hundred KB, however many jobs wait. */
const LARGEST_BATCH = 500;

/**
 * Self-clocked group commit: the next flush starts when the previous one has returned and takes whatever gathered
 * meanwhile. There is no timer, so a lone checkpoint waits for nobody.
 */
export function createCheckpointBatcher(database: Queryable): CheckpointBatcher {
  let waiting: Entry[] = [];
  let isFlushing = false;

  const flushAll = async (): Promise<void> => {
    // Jobs that were claimed together arrive within one turn of the event loop.
    await setImmediate();
    while (waiting.length > 0) {
      const { batch, rest } = takeBatch(waiting);
      waiting = rest;
      await flush(database, batch);
    }
    isFlushing = false;
  };
  return {
    advance: (checkpoint) =>
      new Promise((resolve, reject) => {
        waiting.push({ checkpoint, resolve, reject });
        if (isFlushing) return;
        isFlushing = true;
        void flushAll();
      }),
  };
}

/** At most one entry per job: the answer names jobs only, so a stale claim of the same job would seem to have moved. */
function takeBatch(entries: readonly Entry[]): { batch: Entry[]; rest: Entry[] } {
  const jobs = new Set<string>();
  const batch: Entry[] = [];
  const rest: Entry[] = [];
  for (const entry of entries) {
    const { job_id } = entry.checkpoint;
    const fits = jobs.size < LARGEST_BATCH && !jobs.has(job_id);
    (fits ? batch : rest).push(entry);
    if (fits) jobs.add(job_id);
  }
  return { batch, rest };
}

/** Never rejects: every entry learns its own fate. */
async function flush(database: Queryable, batch: readonly Entry[]): Promise<void> {
  try {
    const moved = await advanceJobs(
      database,
      batch.map((entry) => entry.checkpoint),
    );
    for (const entry of batch) entry.resolve(moved.has(entry.checkpoint.job_id));
  } catch (error) {
    await settleFailure(database, { batch, error });
  }
}

/** A refused statement is one entry's fault and must not fail the others; an absent database concerns them all. */
async function settleFailure(database: Queryable, failure: { batch: readonly Entry[]; error: unknown }): Promise<void> {
  const { batch, error } = failure;
  if (batch.length === 1 || isRetryable(toAppError(error))) {
    for (const entry of batch) entry.reject(error);
    return;
  }
  for (const entry of batch) await flush(database, [entry]);
}
