import { getDocument } from "@pipeline/db";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Parser } from "../../stage-handler.ts";
import { openWorkerBench, type WorkerBench, workThrough } from "../../worker.fixture.ts";
import { storeDocument } from "./store-document.ts";

let bench: WorkerBench;
beforeAll(async () => {
  bench = await openWorkerBench();
});
afterAll(() => bench.close());

function parserOf(title: string): Parser {
  const pages = [{ page_number: 1, text: "Water damage is covered." }];
  const document = { parser: "inline", parser_version: "1", title, pages, notes: [] };
  return { parse: async (job) => storeDocument(job, { document }) };
}

it("stores a title on one line and no longer than 500 characters, whichever parser found it", async () => {
  const upload = await bench.submit("Water damage is covered.");
  const parser = parserOf(` Home\n\tpolicy ${"and more ".repeat(100_000)}`);
  await workThrough(bench.openWorker({ parser }));
  const { title, processing_status } = await getDocument(bench.database, upload.job);
  expect(processing_status).toBe("complete");
  expect(title).toMatch(/^Home policy and more and more /);
  expect(title?.length).toBeGreaterThan(490);
  expect(title?.length).toBeLessThanOrEqual(500);
});
