import { expect, test } from "vitest";
import { readRetryAfterMs } from "./retry-after.ts";

const NOW = new Date("2025-03-01T12:00:00Z");

test.for<{ headers: Record<string, string>; wait: number | undefined }>([
  { headers: {}, wait: undefined },
  { headers: { "retry-after-ms": "250" }, wait: 250 },
  { headers: { "retry-after-ms": "250", "retry-after": "9" }, wait: 250 },
  { headers: { "retry-after-ms": "soon", "retry-after": "9" }, wait: 9000 },
  { headers: { "retry-after": "1.5" }, wait: 1500 },
  { headers: { "retry-after": "60" }, wait: 60_000 },
  { headers: { "retry-after": "61" }, wait: undefined },
  { headers: { "retry-after": "0" }, wait: undefined },
  { headers: { "retry-after": "Sat, 01 Mar 2025 12:00:20 GMT" }, wait: 20_000 },
  { headers: { "retry-after": "Sat, 01 Mar 2025 11:59:00 GMT" }, wait: undefined },
  { headers: { "retry-after": "later" }, wait: undefined },
])("the headers $headers ask for a wait of $wait ms", ({ headers, wait }) => {
  expect(readRetryAfterMs(new Headers(headers), NOW)).toBe(wait);
});
