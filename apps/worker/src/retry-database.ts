import { setTimeout as delay } from "node:timers/promises";
import { isDatabaseAway } from "@pipeline/db";
import { AppError } from "@pipeline/runtime";
import { backoffMs } from "./backoff.ts";

const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 2_000;

export interface DatabaseRetry {
  /** No attempt is started later than this after the first. */
  forMs: number;
  random: () => number;
  /** Its abort ends the waiting with its reason. */
  signal?: AbortSignal;
}

/**
 * Repeats idempotent database work while the database is away, lets nobody in or asks to try again; other errors pass at
 * once.
 */
export async function retryDatabase<T>(work: () => Promise<T>, retry: DatabaseRetry): Promise<T> {
  const startedAt = performance.now();
  for (let retryCount = 0; ; retryCount += 1) {
    try {
      return await work();
    } catch (error) {
      const waitMs = Math.min(
        LONGEST_DELAY_MS,
        backoffMs({ retryCount, baseMs: FIRST_DELAY_MS, retryAfterMs: undefined, random: retry.random }),
      );
      const isOver = performance.now() - startedAt + waitMs > retry.forMs;
      if (isOver || !(isDatabaseAway(error) || isConflict(error))) throw error;
      await waitUnlessAborted(waitMs, retry.signal);
    }
  }
}

/** True where the statement certainly took no effect, and can later. */
function isConflict(error: unknown): boolean {
  return error instanceof AppError && error.code === "database_conflict";
}

async function waitUnlessAborted(ms: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  try {
    await delay(ms, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
