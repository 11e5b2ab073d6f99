import { setTimeout } from "node:timers/promises";

/** Waits so long, or until the signal aborts; never throws. */
export async function wait(milliseconds: number, signal: AbortSignal): Promise<void> {
  if (milliseconds <= 0) return;
  // Only the signal makes it reject.
  await setTimeout(milliseconds, undefined, { signal }).catch(() => undefined);
}
