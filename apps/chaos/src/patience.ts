import { setTimeout as delay } from "node:timers/promises";
import { isRetryable, toAppError } from "@pipeline/runtime";

/** Longer than any restart of the server that this harness causes. */
const PATIENCE_MS = 90_000;
const PAUSE_MS = 200;

/** Repeats idempotent work while the database is away. Throws the last error when it stays away, or the signal's reason. */
export async function patiently<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  const startedAt = performance.now();
  for (;;) {
    signal?.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      const isOver = performance.now() - startedAt > PATIENCE_MS;
      if (isOver || !isRetryable(toAppError(error))) throw error;
      await delay(PAUSE_MS);
    }
  }
}

/** Until `isTrue` answers true, at most `forMs`; answers whether it did. */
export async function waitUntil(
  isTrue: () => boolean | Promise<boolean>,
  limits: { forMs: number; everyMs: number; signal?: AbortSignal },
): Promise<boolean> {
  const startedAt = performance.now();
  while (!limits.signal?.aborted) {
    if (await isTrue()) return true;
    if (performance.now() - startedAt > limits.forMs) return false;
    await delay(limits.everyMs);
  }
  return false;
}
