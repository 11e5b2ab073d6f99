import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { STAGES, STATE_EDGES, STATES } from "./pipeline.ts";

const architecture = await readFile(join(import.meta.dirname, "../../../ARCHITECTURE.md"), "utf8");

test("the chart of states in ARCHITECTURE.md shows exactly the legal changes", () => {
  const drawn = [...architecture.matchAll(/^ {2}(\w+) --> (\w+)/gm)].map(([, from, to]) => `${from} ${to}`);
  const legal = STATES.flatMap((from) => STATE_EDGES[from].map((to) => `${from} ${to}`));
  expect(drawn.toSorted()).toEqual(legal.toSorted());
});

test("the table of stages in ARCHITECTURE.md is the pipeline's, in order", () => {
  const rows = [...architecture.matchAll(/^\| (\w+) \| (\w+) \| (\w+) \|$/gm)]
    .map(([, stage, from, to]) => ({ stage, from, to }))
    .filter((row) => row.stage !== "stage");
  expect(rows).toEqual(STAGES.map(({ stage, from, to }) => ({ stage, from, to })));
});
