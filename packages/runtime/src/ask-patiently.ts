import { AppError, isRetryable } from "./errors.ts";
import { pause } from "./pause.ts";

export const MOST_ASKS = 3;
const FIRST_DELAY_MS = 250;

interface Patience {
  signal: AbortSignal;
  mostAsks?: number;
  isByChance?: (error: AppError) => boolean;
}

/**
 * Asks up to `mostAsks` times, with up to 250 ms and then 500 ms in between: one step is several calls of a service, and a
 * fault of one of them by chance is not worth an attempt of the step. For what may be asked twice. Throws the last fault,
 * and at once those for which `isByChance` is false (those that no repetition mends), those that say when to come back, and
 * whatever comes once `signal` is aborted.
 */
export async function askPatiently<T>(
  ask: () => Promise<T>,
  { signal, mostAsks = MOST_ASKS, isByChance = isRetryable }: Patience,
): Promise<T> {
  for (let asked = 1; ; asked += 1) {
    try {
      return await ask();
    } catch (error) {
      const mayPass = error instanceof AppError && isByChance(error) && error.retryAfterMs === undefined;
      if (asked >= mostAsks || !mayPass || signal.aborted) throw error;
    }
    // Full jitter, as of all back-off.
    await pause(Math.random() * FIRST_DELAY_MS * 2 ** (asked - 1), signal);
  }
}
