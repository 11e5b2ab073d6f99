import { readFile } from "node:fs/promises";
import { countChunks, getDocument, getJob, listPages, STATUSES } from "@pipeline/db";
import { hasParallelConnections, readHistory, readJob } from "@pipeline/db/testing";
import { createLocalEmbedder } from "@pipeline/embedding";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { countingEmbedder, policyOf, type WorkerBench, workThrough, openWorkerBench } from "./worker.fixture.ts";

let bench: WorkerBench;
beforeAll(async () => {
  bench = await openWorkerBench();
});
afterEach(() => bench.clear());
afterAll(() => bench.close());

const WALK = [
  "created:uploaded",
  "upload_confirmed:uploaded",
  ...STATUSES.slice(1).map((status) => `status:${status}`),
];

const model = createLocalEmbedder().model;

describe("a document's walk", () => {
  it.for([
    { mime: "text/markdown", filename: "policy.md" },
    { mime: "text/plain; charset=utf-8", filename: "policy.txt" },
  ])("goes through all ten statuses in order and ends searchable ($mime)", async (type) => {
    const upload = await bench.submit(policyOf(3), type);
    await workThrough(bench.openWorker());
    expect(await readHistory(bench.database, upload.job.job_id)).toEqual(WALK);
    const job = await getJob(bench.database, upload.job);
    expect(job).toMatchObject({ status: "complete", state: "done", retry_count: 0, last_error: null });
    const document = await getDocument(bench.database, upload.job);
    expect(document).toMatchObject({ processing_status: "complete", live_generation: 1, page_count: 1 });
    const counts = await countChunks(bench.database, { document_id: job.document_id, generation: 1 }, model);
    expect(counts.chunk_count).toBeGreaterThan(2);
    expect(counts.embedded_count).toBe(counts.chunk_count);
    expect(job.progress).toMatchObject({
      pages_done: 1,
      pages_total: 1,
      chunks_done: counts.chunk_count,
      chunks_total: counts.chunk_count,
    });
  });

  it("keeps what each stage found out with its event", async () => {
    const upload = await bench.submit(policyOf(2));
    await workThrough(bench.openWorker());
    const rows = await bench.database.many(
      z.object({ status: z.string(), detail: z.record(z.string(), z.unknown()) }),
      `select status, detail from ${bench.database.schema}.events where job_id = $1 and type = 'status' order by event_id`,
      [upload.job.job_id],
    );
    const details = Object.fromEntries(rows.map((row) => [row.status, row.detail]));
    expect(details).toMatchObject({
      parsing: { bytes_len: upload.document.bytes_len, format: "markdown" },
      parsed: { page_count: 1, notes: [], note_count: 0 },
      parse_validated: { character_count: expect.any(Number) },
      chunking: { generation: 1 },
      chunks_stored: { chunk_count: expect.any(Number) },
      embedding_queued: { model, chunk_count: expect.any(Number), token_count: expect.any(Number) },
      embedding_in_progress: { model },
      embeddings_stored: { model, billed_tokens: 0 },
      complete: { generation: 1 },
    });
  });

  it("reads headings in Markdown and leaves them alone in plain text", async () => {
    const paths = async (jobId: string) =>
      bench.database.many(
        z.object({ section_path: z.array(z.string()) }),
        `select section_path from ${bench.database.schema}.document_chunks c
         join ${bench.database.schema}.upload_jobs j using (document_id) where j.job_id = $1`,
        [jobId],
      );
    const markdown = await bench.submit(policyOf(2));
    const plain = await bench.submit(policyOf(2), { mime: "text/plain" });
    await workThrough(bench.openWorker());
    expect(await paths(markdown.job.job_id)).toContainEqual({ section_path: ["Home policy", "Section 1"] });
    for (const row of await paths(plain.job.job_id)) expect(row.section_path).toEqual([]);
  });

  it("carries a real PDF through", async () => {
    const pdf = await readFile(new URL("../../../samples/benefits-booklet.pdf", import.meta.url));
    const upload = await bench.submit(pdf, { mime: "application/pdf", filename: "benefits-booklet.pdf" });
    await workThrough(bench.openWorker());
    const document = await getDocument(bench.database, upload.job);
    expect(document).toMatchObject({ processing_status: "complete", state: "done" });
    const pages = await listPages(bench.database, { document_id: document.document_id, generation: 1 });
    expect(pages.length).toBe(document.page_count);
  });

  it("sends the model the title and headings above each passage, under the upload's correlation id", async () => {
    const { embedder, sent, correlationIds } = countingEmbedder();
    const upload = await bench.submit(policyOf(3));
    await workThrough(bench.openWorker({ embedder }));
    expect(sent.some((text) => text.startsWith("Home policy > Section 2\n"))).toBe(true);
    expect(new Set(correlationIds)).toEqual(new Set([upload.job.correlation_id]));
  });

  it("logs one line per stage, and no text of the document", async () => {
    bench.logged.length = 0;
    await bench.submit(policyOf(2));
    await workThrough(bench.openWorker());
    const lines = bench.logged.map((line) => z.looseObject({ msg: z.string() }).parse(JSON.parse(line)));
    expect(lines.filter((line) => line.msg === "stage done").map((line) => line["stage"])).toHaveLength(9);
    expect(lines.filter((line) => line.msg === "claim ended")).toMatchObject([{ outcome: "completed" }]);
    expect(bench.logged.join("")).not.toMatch(/water damage|Home policy|Section/);
  });

  it("takes only as many jobs as there are slots", async () => {
    for (const sectionCount of [1, 2, 3]) await bench.submit(policyOf(sectionCount));
    const worker = bench.openWorker({ options: { concurrency: 2 } });
    expect(await worker.tick()).toBe(2);
    await worker.idle();
    expect(await worker.tick()).toBe(1);
    await worker.idle();
  });

  it("finds work by itself once it is started", async () => {
    const worker = bench.openWorker({ options: { pollIntervalMs: 50, rescueIntervalMs: 50 } });
    await worker.start();
    const upload = await bench.submit(policyOf(1));
    await expect
      .poll(async () => (await readJob(bench.database, upload.job.job_id)).state, { timeout: 30_000, interval: 50 })
      .toBe("done");
  });

  it.skipIf(!hasParallelConnections())("two workers share the jobs, each once: needs two connections", async () => {
    const uploads = await Promise.all(Array.from({ length: 12 }, (_, index) => bench.submit(policyOf(index + 1))));
    const workers = [bench.openWorker(), bench.openWorker({ database: bench.test.openAnother() })];
    await Promise.all(workers.map(workThrough));
    for (const upload of uploads) {
      expect(await readHistory(bench.database, upload.job.job_id)).toEqual(WALK);
    }
  });
});
