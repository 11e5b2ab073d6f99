/** A budget per minute that refills steadily, as the services' own do. */
export interface RateBudget {
  readonly limit: number;
  /** Whether so much was left; takes it then. */
  take(amount: number): boolean;
  remaining(): number;
  /** Until `amount` is there; 0 when it is. The whole budget by default. */
  waitMs(amount?: number): number;
}

const MINUTE_MS = 60_000;

export function createRateBudget(options: { perMinute: number; now: () => number }): RateBudget {
  const { perMinute: limit, now } = options;
  let level = limit;
  let at = now();
  const refill = (): number => {
    const time = now();
    level = Math.min(limit, level + ((time - at) / MINUTE_MS) * limit);
    at = time;
    return level;
  };
  return {
    limit,
    take(amount) {
      if (refill() < amount) return false;
      level -= amount;
      return true;
    },
    remaining: () => Math.floor(refill()),
    waitMs: (amount = limit) => Math.ceil((Math.max(0, Math.min(amount, limit) - refill()) / limit) * MINUTE_MS),
  };
}

/** "20ms", "1.5s", "6m0s": the notation of the rate-limit headers. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds < 1_000) return `${Math.round(milliseconds)}ms`;
  const seconds = Number((milliseconds / 1_000).toFixed(3));
  if (seconds < 60) return `${seconds}s`;
  return `${Math.floor(seconds / 60)}m${Number((seconds % 60).toFixed(3))}s`;
}
