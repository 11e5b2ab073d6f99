import { expect, it } from "vitest";
import { backoffMs } from "./backoff.ts";

const attempt = { baseMs: 1_000, retryAfterMs: undefined, random: () => 1 };

it("the longest delay doubles with every retry up to five minutes", () => {
  const delays = [0, 1, 2, 3, 8, 9, 50].map((retryCount) => backoffMs({ ...attempt, retryCount }));
  expect(delays).toEqual([1_000, 2_000, 4_000, 8_000, 256_000, 300_000, 300_000]);
});

it("the jitter reaches from nothing to the longest delay", () => {
  const delays = [0, 0.25, 0.5].map((share) => backoffMs({ ...attempt, retryCount: 2, random: () => share }));
  expect(delays).toEqual([0, 1_000, 2_000]);
});

it("the delay is never below what the other side asked for, and spreads above it", () => {
  const asked = { ...attempt, retryCount: 0, retryAfterMs: 600_000 };
  expect(backoffMs({ ...asked, random: () => 0 })).toBe(600_000);
  expect(backoffMs(asked)).toBe(601_000);
});
