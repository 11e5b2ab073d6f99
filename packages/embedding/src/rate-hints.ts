import type { RateHints } from "./embedder.ts";

/** The `x-ratelimit-…` headers of an answer; what is missing or is no number is left out. */
export function readRateHints(headers: Headers): RateHints {
  return {
    limitRequests: readCount(headers, "x-ratelimit-limit-requests"),
    limitTokens: readCount(headers, "x-ratelimit-limit-tokens"),
    remainingRequests: readCount(headers, "x-ratelimit-remaining-requests"),
    remainingTokens: readCount(headers, "x-ratelimit-remaining-tokens"),
  };
}

function readCount(headers: Headers, name: string): number | undefined {
  const value = headers.get(name)?.trim() ?? "";
  return /^\d{1,15}$/.test(value) ? Number(value) : undefined;
}
