import { countChunks } from "@pipeline/db";
import { readHistory, readJob } from "@pipeline/db/testing";
import { createLocalEmbedder, type Embedder } from "@pipeline/embedding";
import { AppError } from "@pipeline/runtime";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { z } from "zod";
import {
  hangingEmbedder,
  makeDue,
  openWorkerBench,
  policyOf,
  readCodes,
  type WorkerBench,
  workThrough,
} from "./worker.fixture.ts";

let bench: WorkerBench;
beforeAll(async () => {
  bench = await openWorkerBench();
});
afterEach(() => bench.clear());
afterAll(() => bench.close());

const jobOf = (jobId: string) => readJob(bench.database, jobId);

async function delaySeconds(jobId: string): Promise<number> {
  const [row] = await bench.database.many(
    z.object({ seconds: z.number() }),
    `select extract(epoch from due_at - updated_at)::float8 as seconds from ${bench.database.schema}.upload_jobs where job_id = $1`,
    [jobId],
  );
  return row?.seconds ?? Number.NaN;
}

/** Fails with these errors, one per call, and works from then on. */
function failing(errors: readonly unknown[]): Embedder {
  const left = [...errors];
  const local = createLocalEmbedder();
  return {
    ...local,
    embed: async (texts, options) => {
      if (left.length > 0) throw left.shift();
      return local.embed(texts, options);
    },
  };
}

const unavailable = (options: { kind?: "transient" | "rate_limited" | "permanent"; retryAfterMs?: number } = {}) =>
  new AppError({ kind: "transient", code: "embedding_unavailable", message: "Try later.", ...options });

it("a transient failure is tried again, later each time, and goes on from the status it reached", async () => {
  const upload = await bench.submit(policyOf(1));
  const { job_id } = upload.job;
  const worker = bench.openWorker({ embedder: failing([unavailable(), unavailable(), unavailable()]) });
  const delays: number[] = [];
  for (const retry_count of [1, 2, 3]) {
    await workThrough(worker);
    expect(await jobOf(job_id)).toMatchObject({
      state: "retryable",
      status: "embedding_in_progress",
      retry_count,
      last_error: { stage: "embed", code: "embedding_unavailable", retryable: true },
    });
    delays.push(await delaySeconds(job_id));
    await makeDue(bench.database, job_id);
  }
  await workThrough(worker);
  expect(delays).toEqual([1, 2, 4]);
  expect(await jobOf(job_id)).toMatchObject({ state: "done", retry_count: 0, last_error: null });
  const history = await readHistory(bench.database, job_id);
  expect(history.filter((line) => line === "status:parsed")).toHaveLength(1);
  expect(history.filter((line) => line.startsWith("retry_scheduled"))).toHaveLength(3);
});

it("a failure that goes on for longer than the retries ends as a dead letter", async () => {
  const upload = await bench.submit(policyOf(1));
  const { job_id } = upload.job;
  const worker = bench.openWorker({ embedder: failing([unavailable(), unavailable()]), options: { maxRetries: 1 } });
  await workThrough(worker);
  await makeDue(bench.database, job_id);
  await workThrough(worker);
  expect(await jobOf(job_id)).toMatchObject({
    state: "deadletter",
    status: "embedding_in_progress",
    last_error: { code: "embedding_unavailable", retryable: true },
  });
  expect(await readCodes(bench.database, upload)).toEqual(["embedding_unavailable", "embedding_unavailable"]);
});

it("a permanent failure is not tried again", async () => {
  const { job } = await bench.submit(policyOf(1));
  await workThrough(bench.openWorker({ embedder: failing([unavailable({ kind: "permanent" })]) }));
  expect(await jobOf(job.job_id)).toMatchObject({ state: "deadletter", retry_count: 0 });
});

it.for(["transient", "rate_limited"] as const)("a provider's Retry-After is kept to (%s)", async (kind) => {
  const { job } = await bench.submit(policyOf(1));
  const worker = bench.openWorker({
    embedder: failing([unavailable({ kind, retryAfterMs: 42_000 })]),
    random: () => 0,
  });
  await workThrough(worker);
  expect(await jobOf(job.job_id)).toMatchObject({ state: "retryable" });
  expect(await delaySeconds(job.job_id)).toBe(42);
});

it("an unexpected error is tried again, and tells neither the user nor the log what it quotes", async () => {
  const { job } = await bench.submit(policyOf(1));
  const worker = bench.openWorker({ embedder: failing([new TypeError("cannot read 'policy of Jane Doe'")]) });
  await workThrough(worker);
  expect(await jobOf(job.job_id)).toMatchObject({
    state: "retryable",
    last_error: { code: "internal_error", message: "An unexpected error occurred.", retryable: true },
  });
  expect(bench.logged.join("")).not.toMatch(/Jane Doe/);
  expect(bench.logged.some((line) => line.includes('"type":"TypeError"'))).toBe(true);
});

it("a handler that ignores its deadline is left behind and counts as failed", async () => {
  const { job } = await bench.submit(policyOf(1));
  const { embedder } = hangingEmbedder();
  await workThrough(bench.openWorker({ embedder, options: { stageDeadlinesMs: { embed: 20 } } }));
  expect(await jobOf(job.job_id)).toMatchObject({
    state: "retryable",
    status: "embedding_in_progress",
    last_error: { stage: "embed", code: "stage_timeout", retryable: true },
  });
});

it("what a handler answers after its deadline is dropped", async () => {
  const { job } = await bench.submit(policyOf(1));
  const answer = Promise.withResolvers<void>();
  const answered = Promise.withResolvers<void>();
  const local = createLocalEmbedder();
  const late: Embedder = {
    ...local,
    // Deaf to its signal.
    embed: async (texts) => {
      await answer.promise;
      const result = await local.embed(texts, {});
      answered.resolve();
      return result;
    },
  };
  await workThrough(bench.openWorker({ embedder: late, options: { stageDeadlinesMs: { embed: 300 } } }));
  const before = await jobOf(job.job_id);
  answer.resolve();
  await answered.promise;
  await new Promise(setImmediate);
  expect(await jobOf(job.job_id)).toEqual(before);
  const counts = await countChunks(bench.database, { ...job, generation: 1 }, late.model);
  expect(counts.embedded_count).toBe(0);
});

it("a job that failed does not hold up the others", async () => {
  const bad = await bench.submit(policyOf(1), { mime: "application/pdf" });
  const good = await bench.submit(policyOf(2));
  await workThrough(bench.openWorker({ options: { concurrency: 1 } }));
  expect(await jobOf(bad.job.job_id)).toMatchObject({ state: "deadletter" });
  expect(await jobOf(good.job.job_id)).toMatchObject({ state: "done" });
});

it("a document without text ends as a dead letter that says so", async () => {
  const { job } = await bench.submit("\n \n\n   \n");
  await workThrough(bench.openWorker());
  expect(await jobOf(job.job_id)).toMatchObject({ state: "deadletter", last_error: { code: "no_text" } });
});
