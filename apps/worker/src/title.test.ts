import { readFile } from "node:fs/promises";
import { cancelJob, getDocument, reprocessDocument, type ReprocessFrom } from "@pipeline/db";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Parser } from "./stage-handler.ts";
import { storeDocument } from "./stages/parse/store-document.ts";
import {
  countingEmbedder,
  hangingEmbedder,
  openWorkerBench,
  policyOf,
  type WorkerBench,
  workThrough,
} from "./worker.fixture.ts";

let bench: WorkerBench;
beforeAll(async () => {
  bench = await openWorkerBench();
});
afterAll(() => bench.close());

/** Finds this title in every document. */
function titling(title: string): Parser {
  return {
    parse: async (job, context) => {
      const { path } = await context.file();
      const pages = [{ page_number: 1, text: await readFile(path, "utf8") }];
      return storeDocument(job, { document: { parser: "test", parser_version: "1", title, pages, notes: [] } });
    },
  };
}

it("a document shows the title of what search sees, and a later job embeds its passages by its own", async () => {
  const { job } = await bench.submit(policyOf(1));
  const titleOf = async () => (await getDocument(bench.database, job)).title;
  const reprocess = (from: ReprocessFrom) =>
    bench.database.transaction((tx) =>
      reprocessDocument(tx, { document_id: job.document_id, from, correlation_id: "test" }),
    );
  await workThrough(bench.openWorker({ parser: titling("Old title") }));
  expect(await titleOf()).toBe("Old title");

  const again = await reprocess("parse");
  const stuck = hangingEmbedder();
  await bench.openWorker({ parser: titling("New title"), embedder: stuck.embedder }).tick();
  await stuck.called;
  expect(await titleOf()).toBe("Old title");
  await cancelJob(bench.database, { job_id: again.job_id, correlation_id: "test" });
  expect(await titleOf()).toBe("Old title");

  await reprocess("chunk");
  const { embedder, sent } = countingEmbedder();
  await workThrough(bench.openWorker({ embedder }));
  expect(sent.length).toBeGreaterThan(0);
  for (const text of sent) expect(text).toContain("New title");
  expect(await titleOf()).toBe("New title");
});

it("a first job shows its title as soon as it is known", async () => {
  const { job } = await bench.submit(policyOf(1));
  const stuck = hangingEmbedder();
  await bench.openWorker({ parser: titling("Early title"), embedder: stuck.embedder }).tick();
  await stuck.called;
  expect(await getDocument(bench.database, job)).toMatchObject({
    title: "Early title",
    page_count: 1,
    live_generation: null,
  });
});
