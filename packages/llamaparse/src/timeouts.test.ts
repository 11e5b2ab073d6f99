import { expect, test } from "vitest";
import { longestJobMs, resultTimeoutMs, uploadTimeoutMs } from "./timeouts.ts";

test("a job's time grows with its pages, past what the provider is told to allow", () => {
  const timeouts = { baseSeconds: 60, perPageSeconds: 2 };
  expect(longestJobMs(0, timeouts)).toBe(180_000);
  expect(longestJobMs(100, timeouts)).toBe(380_000);
  // The provider's own limit of half an hour, and our grace.
  expect(longestJobMs(500)).toBe(1_920_000);
});

test("an upload's time grows with its bytes, a result's with its pages", () => {
  expect(uploadTimeoutMs(60_000, 0)).toBe(60_000);
  expect(uploadTimeoutMs(60_000, 25 * 1024 * 1024)).toBe(460_000);
  expect(resultTimeoutMs(60_000, 500)).toBe(160_000);
});
