import { expect, test } from "vitest";
import { LONG } from "./options.ts";
import { planFaults } from "./plan.ts";
import { createRandom } from "./random.ts";

test("a seed repeats its plan, and another seed makes another one", () => {
  const plan = planFaults(createRandom(7), LONG);
  expect(planFaults(createRandom(7), LONG)).toEqual(plan);
  expect(planFaults(createRandom(8), LONG)).not.toEqual(plan);
});

test("every planned fault falls into the time of the load and is over by its end", () => {
  const plan = planFaults(createRandom(7), LONG);
  const planned = Object.values(LONG.counts).reduce((sum, count) => sum + count, 0);
  expect(plan).toHaveLength(planned);
  expect(plan.filter(({ atMs, forMs }) => atMs < 0 || atMs + forMs > LONG.seconds * 1_000)).toEqual([]);
  expect(plan.map(({ atMs }) => atMs)).toEqual(plan.map(({ atMs }) => atMs).toSorted((a, b) => a - b));
});

test("the long form kills at least two hundred workers", () => {
  expect(LONG.counts.kill).toBeGreaterThanOrEqual(200);
});
