import { expect, test } from "vitest";
import { readRateHints } from "./rate-hints.ts";

test("limits and what is left of them are read from the headers", () => {
  const headers = new Headers({
    "x-ratelimit-limit-requests": "3000",
    "x-ratelimit-limit-tokens": "1000000",
    "x-ratelimit-remaining-requests": "2999",
    "x-ratelimit-remaining-tokens": "0",
  });
  expect(readRateHints(headers)).toEqual({
    limitRequests: 3_000,
    limitTokens: 1_000_000,
    remainingRequests: 2_999,
    remainingTokens: 0,
  });
});

test.for(["", "many", "-1", "1.5", "1e3", "9".repeat(16)])("a header of %j says nothing", (value) => {
  const headers = new Headers({ "x-ratelimit-limit-requests": value });
  expect(readRateHints(headers)).toEqual({
    limitRequests: undefined,
    limitTokens: undefined,
    remainingRequests: undefined,
    remainingTokens: undefined,
  });
});
