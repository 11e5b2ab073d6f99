import { expect, test } from "vitest";
import { createRateBudget, formatDuration } from "./rate-budget.ts";

test("a budget refills steadily and never holds more than a minute's worth", () => {
  let time = 0;
  const budget = createRateBudget({ perMinute: 60, now: () => time });
  expect(budget.take(50)).toBe(true);
  expect(budget.take(11)).toBe(false);
  expect(budget.remaining()).toBe(10);
  expect(budget.waitMs(11)).toBe(1_000);
  expect(budget.waitMs()).toBe(50_000);
  time += 1_000;
  expect(budget.take(11)).toBe(true);
  time += 3_600_000;
  expect(budget.remaining()).toBe(60);
  expect(budget.waitMs()).toBe(0);
});

test.for([
  [0, "0ms"],
  [20, "20ms"],
  [1_500, "1.5s"],
  [59_999, "59.999s"],
  [360_000, "6m0s"],
  [61_250, "1m1.25s"],
] as const)("%d ms are written as %s", ([milliseconds, text]) => {
  expect(formatDuration(milliseconds)).toBe(text);
});
