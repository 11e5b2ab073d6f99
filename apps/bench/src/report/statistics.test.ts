import { expect, it } from "vitest";
import { percentile, spreadOf } from "./statistics.ts";

it("the median of an even count lies between the middle two", () => {
  expect(spreadOf([4, 1, 3, 2])).toEqual({ median: 2.5, min: 1, max: 4 });
});

it("a high percentile of few values stays below the greatest", () => {
  expect(percentile([0, 10], 95)).toBe(9.5);
  expect(percentile([7], 99)).toBe(7);
});

it("no figure comes of no measurement", () => {
  expect(() => spreadOf([])).toThrow("of nothing");
});
