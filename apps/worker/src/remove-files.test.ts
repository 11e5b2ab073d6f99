import { deleteDocument } from "@pipeline/db";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openWorkerBench, type WorkerBench } from "./worker.fixture.ts";

let bench: WorkerBench;
beforeAll(async () => {
  bench = await openWorkerBench();
});
afterAll(() => bench.close());

test("a running worker removes the file of a deleted document, and keeps the others", async () => {
  const kept = await bench.promise("kept");
  await bench.put(kept, "kept");
  const gone = await bench.promise("gone");
  await bench.put(gone, "gone");
  await bench.database.transaction((tx) => deleteDocument(tx, gone.job));
  expect(await bench.storage.stat(gone.document.raw_path)).toBeDefined();
  await bench.openWorker().start();
  await expect.poll(() => bench.storage.stat(gone.document.raw_path), { timeout: 30_000 }).toBeUndefined();
  expect(await bench.storage.stat(kept.document.raw_path)).toBeDefined();
});
