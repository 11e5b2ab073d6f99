import {
  cancelJob,
  countChunks,
  getDocument,
  reprocessDocument,
  type ReprocessFrom,
  retryJob,
  searchChunks,
} from "@pipeline/db";
import { readHistory, readJob } from "@pipeline/db/testing";
import { createLocalEmbedder } from "@pipeline/embedding";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
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
afterEach(() => bench.clear());
afterAll(() => bench.close());

const correlation_id = "operator";
const cancel = (job_id: string) => cancelJob(bench.database, { job_id, correlation_id });
const retry = (job_id: string) => bench.database.transaction((tx) => retryJob(tx, { job_id, correlation_id }));
const reprocess = (document_id: string, from: ReprocessFrom) =>
  bench.database.transaction((tx) => reprocessDocument(tx, { document_id, from, correlation_id }));

const logLine = z.looseObject({ msg: z.string() });
const outcomes = (): unknown[] =>
  bench.logged
    .map((line) => logLine.parse(JSON.parse(line)))
    .filter((line) => line.msg === "claim ended")
    .map((line) => line["outcome"]);

describe("a job that is cancelled while a worker has it in hand", () => {
  it("is out of hand after one heartbeat, even if its stage never answers", async () => {
    const { job } = await bench.submit(policyOf(1));
    const { embedder, called } = hangingEmbedder();
    bench.logged.length = 0;
    const worker = bench.openWorker({ embedder });
    await worker.tick();
    await called;
    await cancel(job.job_id);
    const cancelled = await readJob(bench.database, job.job_id);
    await worker.beat();
    await worker.idle();
    expect(outcomes()).toEqual(["lost"]);
    expect(await readJob(bench.database, job.job_id)).toEqual(cancelled);
    expect((await readHistory(bench.database, job.job_id)).at(-1)).toBe("cancelled:embedding_in_progress");
  });

  it("is stored no more of by a stage that goes on until then", async () => {
    const { job } = await bench.submit(policyOf(4));
    const { embedder, sent } = countingEmbedder(async (batch) => {
      if (batch === 2) await cancel(job.job_id);
    });
    bench.logged.length = 0;
    const worker = bench.openWorker({ embedder });
    await worker.tick();
    await worker.idle();
    expect(outcomes()).toEqual(["lost"]);
    expect(sent).toHaveLength(4);
    const counts = await countChunks(bench.database, { ...job, generation: 1 }, embedder.model);
    expect(counts.embedded_count).toBe(2);
    expect(await readJob(bench.database, job.job_id)).toMatchObject({ state: "cancelled", last_error: null });
  });

  it("goes on from its last checkpoint when it is retried, and the old claim changes nothing", async () => {
    const { job } = await bench.submit(policyOf(1));
    const { embedder, called } = hangingEmbedder();
    const stuck = bench.openWorker({ embedder });
    await stuck.tick();
    await called;
    await cancel(job.job_id);
    await retry(job.job_id);
    await workThrough(bench.openWorker());
    const done = await readJob(bench.database, job.job_id);
    expect(done).toMatchObject({ state: "done", crash_count: 0, retry_count: 0 });
    await stuck.beat();
    await stuck.idle();
    expect(await readJob(bench.database, job.job_id)).toEqual(done);
    const history = await readHistory(bench.database, job.job_id);
    expect(history.filter((line) => line.startsWith("status:"))).toHaveLength(9);
    expect(history.filter((line) => line === "status:parsed")).toHaveLength(1);
  });
});

describe("a document that is reprocessed", () => {
  const embedder = createLocalEmbedder();

  const generationsFound = async (user_id: string): Promise<number[]> => {
    const { vectors } = await embedder.embed(["water damage"], { signal: AbortSignal.timeout(60_000) });
    const found = await searchChunks(bench.database, {
      user_id,
      text: "water damage",
      vector: vectors[0] ?? [],
      model: embedder.model,
      threshold: -1,
      limit: 50,
      documentIds: undefined,
      metadata: undefined,
    });
    const rows = await bench.database.many(
      z.object({ generation: z.number() }),
      `select distinct generation from ${bench.database.schema}.document_chunks where chunk_id = any ($1::uuid[])`,
      [found.map((chunk) => chunk.chunk_id)],
    );
    return rows.map((row) => row.generation);
  };

  it.each(["verify", "parse", "validate", "plan_chunks", "chunk", "plan_embedding", "embed", "publish"] as const)(
    "from %s is complete again with the same passages",
    async (from) => {
      const { job } = await bench.submit(policyOf(2));
      await workThrough(bench.openWorker());
      const before = await getDocument(bench.database, job);
      const again = await reprocess(job.document_id, from);
      expect(await generationsFound(job.user_id)).toEqual([1]);
      await workThrough(bench.openWorker());
      expect(await readJob(bench.database, again.job_id)).toMatchObject({ state: "done", status: "complete" });
      const after = await getDocument(bench.database, job);
      expect(after).toMatchObject({
        processing_status: "complete",
        live_generation: 2,
        chunk_count: before.chunk_count,
        page_count: before.page_count,
        title: before.title,
      });
      expect(await generationsFound(job.user_id)).toEqual([2]);
    },
  );

  it("is searchable as it was while a worker is at it", async () => {
    const { job } = await bench.submit(policyOf(2));
    await workThrough(bench.openWorker());
    const again = await reprocess(job.document_id, "chunk");
    const stuck = hangingEmbedder();
    const worker = bench.openWorker({ embedder: stuck.embedder });
    await worker.tick();
    await stuck.called;
    expect(await getDocument(bench.database, job)).toMatchObject({ processing_status: "embedding_in_progress" });
    expect(await generationsFound(job.user_id)).toEqual([1]);
    await cancel(again.job_id);
    expect(await generationsFound(job.user_id)).toEqual([1]);
  });
});

describe("a file that was not the promised one", () => {
  it("is gone, so that its job can only be uploaded again", async () => {
    const promised = await bench.promise(policyOf(1));
    await bench.put(promised, policyOf(1).replace("water", "wafer"));
    await bench.database.run(`update ${bench.database.schema}.upload_jobs set due_at = now() where job_id = $1`, [
      promised.job.job_id,
    ]);
    await workThrough(bench.openWorker());
    expect(await readJob(bench.database, promised.job.job_id)).toMatchObject({
      state: "deadletter",
      last_error: { code: "hash_mismatch" },
    });
    expect(await bench.storage.stat(promised.document.raw_path)).toBeUndefined();
    await expect(retry(promised.job.job_id)).rejects.toMatchObject({ code: "upload_again" });
    await expect(reprocess(promised.job.document_id, "parse")).rejects.toMatchObject({ code: "upload_again" });
  });
});
