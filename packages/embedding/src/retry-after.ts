/** Longer waits are ignored, as the provider's own SDK does: our back-off decides then. */
const LONGEST_WAIT_MS = 60_000;

/**
 * How long the answer asks us to wait, in milliseconds: `retry-after-ms`, else `retry-after` as seconds or as a date.
 * Undefined where neither says anything usable; zero and the past count as nothing, so that back-off still applies.
 */
export function readRetryAfterMs(headers: Headers, now: Date): number | undefined {
  const milliseconds = readNumber(headers.get("retry-after-ms"));
  const waitMs = milliseconds ?? readRetryAfter(headers.get("retry-after"), now);
  return waitMs !== undefined && waitMs > 0 && waitMs <= LONGEST_WAIT_MS ? waitMs : undefined;
}

function readRetryAfter(header: string | null, now: Date): number | undefined {
  if (header === null) return undefined;
  const seconds = readNumber(header);
  if (seconds !== undefined) return Math.ceil(seconds * 1000);
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : date - now.getTime();
}

function readNumber(header: string | null): number | undefined {
  return header !== null && /^\d+(\.\d+)?$/.test(header.trim()) ? Number(header) : undefined;
}
