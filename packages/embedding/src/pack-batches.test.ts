import { expect, test } from "vitest";
import { packBatches } from "./pack-batches.ts";

function packCounts(counts: number[], limits: { maxInputs: number; maxTokens: number }): number[][] {
  const items = counts.map((token_count, ordinal) => ({ token_count, ordinal }));
  const batches = packBatches(items, limits);
  expect(batches.flat()).toEqual(items);
  return batches.map((batch) => batch.map(({ token_count }) => token_count));
}

test("a batch is filled up to either limit before the next begins", () => {
  expect(packCounts([4, 6, 1, 9, 1], { maxInputs: 10, maxTokens: 10 })).toEqual([[4, 6], [1, 9], [1]]);
  expect(packCounts([1, 1, 1, 1, 1], { maxInputs: 2, maxTokens: 10 })).toEqual([[1, 1], [1, 1], [1]]);
});

test("an item over the limit goes alone, in its place", () => {
  expect(packCounts([1, 50, 2, 3], { maxInputs: 10, maxTokens: 10 })).toEqual([[1], [50], [2, 3]]);
});

test("no items make no batch", () => {
  expect(packCounts([], { maxInputs: 10, maxTokens: 10 })).toEqual([]);
});
