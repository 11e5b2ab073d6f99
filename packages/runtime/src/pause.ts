import { setTimeout as delay } from "node:timers/promises";

/** Waits, unless the signal is aborted: throws its reason then. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  try {
    await delay(ms, undefined, { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
}
