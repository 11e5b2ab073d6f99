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
const LARGEST_BATCH = 1_000;

/**
 * Under load two flushes are under way, so that the server works on one while this process deals with the other, and on two
 * cores. A second one for less than this would only make batches smaller and commits more.
 */
const SECOND_FLUSH_FROM = 16;

/**
 * Self-clocked group commit: the next flush starts when the previous one has returned and takes whatever gathered
 * meanwhile. There is no timer, so a lone checkpoint waits for nobody.
 */
export function createCheckpointBatcher(database: Queryable): CheckpointBatcher {
  let waiting: Entry[] = [];
  /** Of the flushes under way. */
  const moving = new Set<string>();
  let flushCount = 0;

  /** False: all that waits is for jobs of the other flush, which sees to it. */
  const flushNext = async (): Promise<boolean> => {
    const { batch, rest } = takeBatch(waiting, moving);
    waiting = rest;
    for (const entry of batch) moving.add(entry.checkpoint.job_id);
    await flush(database, batch);
    for (const entry of batch) moving.delete(entry.checkpoint.job_id);
    return batch.length > 0;
  };
  const keepFlushing = async (): Promise<void> => {
    // Jobs that were claimed together arrive within one turn of the event loop.
    await setImmediate();
    while (waiting.length >= (flushCount === 1 ? 1 : SECOND_FLUSH_FROM) && (await flushNext()));
    flushCount -= 1;
  };
  const startFlush = (): void => {
    const enough = [1, SECOND_FLUSH_FROM][flushCount];
    if (enough === undefined || waiting.length < enough) return;
    flushCount += 1;
    void keepFlushing();
  };
  return {
    advance: (checkpoint) =>
      new Promise((resolve, reject) => {
        waiting.push({ checkpoint, resolve, reject });
        startFlush();
      }),
  };
}

/**
 * At most one entry per job, also in all flushes together: the answer names jobs only, so a stale claim of the same job
 * would seem to have moved.
 */
function takeBatch(entries: readonly Entry[], moving: ReadonlySet<string>): { batch: Entry[]; rest: Entry[] } {
  const jobs = new Set(moving);
  const batch: Entry[] = [];
  const rest: Entry[] = [];
  for (const entry of entries) {
    const { job_id } = entry.checkpoint;
    const fits = batch.length < LARGEST_BATCH && !jobs.has(job_id);
    (fits ? batch : rest).push(entry);
    if (fits) jobs.add(job_id);
  }
  return { batch, rest };
}

/** Never rejects: every entry learns its own fate. */
async function flush(database: Queryable, batch: readonly Entry[]): Promise<void> {
  if (batch.length === 0) return;
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
