/** SPEC: capped at 5 minutes. */
const LONGEST_DELAY_MS = 5 * 60_000;

export interface Attempt {
  /** Retries that were made before this failure. */
  retryCount: number;
  baseMs: number;
  /** What the other side asked for; the delay is never below it. */
  retryAfterMs: number | undefined;
  random: () => number;
}

/**
 * Milliseconds until the next attempt: doubling from `baseMs` up to 5 minutes, with full jitter, so that jobs that
 * failed together do not come back together. The jitter comes on top of what the other side asked for.
 */
export function backoffMs(attempt: Attempt): number {
  const longest = Math.min(LONGEST_DELAY_MS, attempt.baseMs * 2 ** attempt.retryCount);
  return (attempt.retryAfterMs ?? 0) + attempt.random() * longest;
}
