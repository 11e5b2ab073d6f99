import { countChunks, getSpendingToday, listCircuits, listProviderLimits, listSpending } from "@pipeline/db";
import { readHistory, readJob } from "@pipeline/db/testing";
import { createOpenAiEmbedder, type Embedder } from "@pipeline/embedding";
import { type OpenAi, type OpenAiOptions, startOpenAi } from "@pipeline/mocks";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { z } from "zod";
import type { WorkerOptions } from "./options.ts";
import {
  INLINE_PARSER,
  openWorkerBench,
  policyOf,
  readCodes,
  type WorkerBench,
  workThrough,
} from "./worker.fixture.ts";
import type { Worker } from "./worker.ts";

const MODEL = "text-embedding-3-small";
const ROUTE = "POST /v1/embeddings";

let bench: WorkerBench;
let openai: OpenAi | undefined;
beforeAll(async () => {
  bench = await openWorkerBench();
});
afterEach(async () => {
  await bench.clear();
  for (const table of ["limits", "circuits"]) await bench.database.run(`delete from upload_pipeline.provider_${table}`);
  for (const table of ["spending", "spending_days", "spending_reservations"]) {
    await bench.database.run(`delete from upload_pipeline.${table}`);
  }
  bench.logged.length = 0;
  await openai?.close();
});
afterAll(() => bench.close());

async function emulate(options: OpenAiOptions = {}): Promise<OpenAi> {
  openai = await startOpenAi(options);
  return openai;
}

/** What one worker process has; nothing but the database joins two of them. */
function embedderOf({ baseUrl }: OpenAi, settings: { requestsPerMinute?: number } = {}): Embedder {
  return createOpenAiEmbedder({ apiKey: "sk-test-0123456789", baseUrl, model: MODEL, ...settings });
}

/** A worker that waits for nothing with a job in hand: what is not there yet gives the job back. */
function openWorker(embedder: Embedder, options: Partial<WorkerOptions> = {}): Worker {
  return bench.openWorker({ embedder, parser: INLINE_PARSER, options: { longestRateWaitMs: 0, ...options } });
}

/** A document that shares no passage with another. */
const submit = (number: number, sections = 1) =>
  bench.submit(policyOf(sections).replaceAll("Clause", `Clause of policy ${number}`));

const submitMany = (count: number) => Promise.all(Array.from({ length: count }, (_, number) => submit(number)));

const run = (sql: string) => bench.database.run(sql);
const makeAllDue = () => run("update upload_pipeline.upload_jobs set due_at = now() where state = 'retryable'");
const endOpenTime = () =>
  run("update upload_pipeline.provider_circuits set open_until = now() where opened_at is not null");

const jobRow = z.object({ state: z.string(), retry_count: z.number(), code: z.string().nullable() });

/** How many jobs there are of each kind: `retryable 0 budget_exhausted`. */
async function countJobs(): Promise<Record<string, number>> {
  const rows = await bench.database.many(
    jobRow,
    "select state, retry_count, last_error ->> 'code' as code from upload_pipeline.upload_jobs",
  );
  const counts: Record<string, number> = {};
  for (const { state, retry_count, code } of rows) {
    const kind = code === null ? state : `${state} ${retry_count} ${code}`;
    counts[kind] = (counts[kind] ?? 0) + 1;
  }
  return counts;
}

const answersOf = (emulator: OpenAi): Record<string, number> => emulator.stats().answers[ROUTE] ?? {};

it("two workers share a small rate, and the provider never has to refuse", async () => {
  let now = 0;
  const emulator = await emulate({ requestsPerMinute: 6, now: () => now });
  await submitMany(8);
  const workers = [1, 2].map(() => openWorker(embedderOf(emulator, { requestsPerMinute: 6 })));
  const kinds = new Set<string>();
  for (let round = 0; round < 30 && (await countJobs())["done"] !== 8; round += 1) {
    await Promise.all(workers.map(workThrough));
    for (const kind of Object.keys(await countJobs())) kinds.add(kind);
    now += 10_000;
    await run("update upload_pipeline.provider_limits set refilled_at = refilled_at - interval '10 s'");
    await makeAllDue();
  }
  expect(await countJobs()).toEqual({ done: 8 });
  expect([...kinds].toSorted()).toEqual(["done", "retryable 0 embedding_rate_limited"]);
  expect(answersOf(emulator)).toEqual({ 200: 8 });
});

it("a provider's refusal pauses all workers, and costs no attempt", async () => {
  const emulator = await emulate();
  emulator.failNext("rate_limited");
  await submitMany(4);
  const [first, second] = [openWorker(embedderOf(emulator), { concurrency: 1 }), openWorker(embedderOf(emulator))];
  await first.tick();
  await first.idle();
  await run("update upload_pipeline.provider_limits set paused_until = now() + interval '1 minute'");
  await workThrough(second);
  expect(await countJobs()).toEqual({ "retryable 0 embedding_rate_limited": 4 });
  expect(answersOf(emulator)).toEqual({ 429: 1 });
  await run("update upload_pipeline.provider_limits set paused_until = now()");
  await makeAllDue();
  await workThrough(second);
  expect(await countJobs()).toEqual({ done: 4 });
});

it("a short wait is waited out with the job in hand", async () => {
  const emulator = await emulate();
  emulator.failNext("rate_limited", { times: 2 });
  const { job } = await submit(1);
  await workThrough(openWorker(embedderOf(emulator), { longestRateWaitMs: 10_000 }));
  expect(await countJobs()).toEqual({ done: 1 });
  expect(await readHistory(bench.database, job.job_id)).not.toContain("retry_scheduled:embedding_in_progress");
  expect(answersOf(emulator)).toEqual({ 200: 1, 429: 2 });
});

it("a batch that is over what the account allows in a minute goes in parts", async () => {
  let now = 0;
  const emulator = await emulate({ tokensPerMinute: 2_000, now: () => now });
  const { job } = await submit(1, 6);
  const worker = openWorker(embedderOf(emulator));
  await workThrough(worker);
  expect(answersOf(emulator)["429"]).toBeGreaterThan(0);
  for (let round = 0; round < 20 && (await countJobs())["done"] !== 1; round += 1) {
    now += 60_000;
    await run(
      `update upload_pipeline.provider_limits
       set refilled_at = refilled_at - interval '1 minute', paused_until = now() - interval '1 s'`,
    );
    await makeAllDue();
    await workThrough(worker);
  }
  expect(await countJobs()).toEqual({ done: 1 });
  const { billed_tokens, paid_again_count } = emulator.stats();
  expect(billed_tokens).toBeGreaterThan(2_000);
  expect(paid_again_count).toBe(0);
  expect(await readHistory(bench.database, job.job_id)).toContain("status:complete");
});

it("a passage that the provider refuses is found and named, and all others are stored", async () => {
  const emulator = await emulate();
  const real = embedderOf(emulator);
  const spoiling: Embedder = {
    ...real,
    // The service refuses empty inputs.
    embed: (texts, options) =>
      real.embed(
        texts.map((text) => (text.includes("policy 1 4.7") ? "" : text)),
        options,
      ),
  };
  const upload = await submit(1, 6);
  await workThrough(openWorker(spoiling));
  const [chunk] = await bench.database.many(
    z.object({ chunk_id: z.string(), ordinal: z.number() }),
    "select chunk_id, ordinal from upload_pipeline.document_chunks where text like '%policy 1 4.7%'",
  );
  const counts = await countChunks(bench.database, { ...upload.job, generation: 1 }, MODEL);
  expect(counts.chunk_count).toBeGreaterThan(4);
  expect(counts.embedded_count).toBe(counts.chunk_count - 1);
  const { state, last_error } = await readJob(bench.database, upload.job.job_id);
  expect(state).toBe("deadletter");
  expect(last_error).toMatchObject({
    stage: "embed",
    code: "embedding_rejected",
    message: `The embedding service refuses passage ${(chunk?.ordinal ?? 0) + 1} of ${counts.chunk_count}.`,
  });
  const { paid_again_count, billed_tokens } = emulator.stats();
  expect(paid_again_count).toBe(0);
  expect(await listSpending(bench.database, { days: 1 })).toMatchObject([{ token_count: billed_tokens }]);
  expect(await listCircuits(bench.database)).toEqual([]);
});

it("a provider that refuses whatever it is sent is not asked passage by passage", async () => {
  const emulator = await emulate();
  const real = embedderOf(emulator);
  const refused: Embedder = {
    ...real,
    embed: (texts, options) =>
      real.embed(
        texts.map(() => ""),
        options,
      ),
  };
  const { job } = await submit(1, 30);
  await workThrough(openWorker(refused));
  expect(await readJob(bench.database, job.job_id)).toMatchObject({
    state: "deadletter",
    last_error: { code: "embedding_rejected" },
  });
  expect(answersOf(emulator)["400"]).toBeLessThan(12);
  expect(await getSpendingToday(bench.database)).toMatchObject({ spent_usd: 0, reserved_usd: 0 });
});

it("an empty account stops all work at once without costing an attempt, and one request at a time tries it again", async () => {
  const emulator = await emulate();
  emulator.failNext("quota", { times: 2 });
  await submitMany(5);
  const workers = [1, 2].map(() => openWorker(embedderOf(emulator), { concurrency: 1 }));
  for (const worker of workers) await workThrough(worker);
  expect(await countJobs()).toEqual({ "retryable 0 embedding_quota_exhausted": 5 });
  expect(answersOf(emulator)).toEqual({ 429: 1 });
  await endOpenTime();
  await makeAllDue();
  for (const worker of workers) await workThrough(worker);
  expect(await countJobs()).toEqual({ "retryable 0 embedding_quota_exhausted": 5 });
  expect(answersOf(emulator)).toEqual({ 429: 2 });
  await endOpenTime();
  await makeAllDue();
  for (const worker of workers) await workThrough(worker);
  expect(await countJobs()).toEqual({ done: 5 });
});

it("faults in a row open the circuit for all workers, one request probes, and its success closes it", async () => {
  const probing = Promise.withResolvers<void>();
  const answering = Promise.withResolvers<void>();
  let isProbe = false;
  const emulator = await emulate({
    onRequest: async () => {
      if (!isProbe) return;
      isProbe = false;
      probing.resolve();
      await answering.promise;
    },
  });
  emulator.failNext("server_error", { times: 5 });
  const uploads = await submitMany(8);
  const [first, second] = [1, 2].map(() =>
    openWorker(embedderOf(emulator), { concurrency: 1, retryBaseDelayMs: 100_000 }),
  );
  if (first === undefined || second === undefined) throw new Error("There are two workers.");
  await workThrough(first);
  expect(await countJobs()).toEqual({
    "retryable 1 embedding_unavailable": 4,
    "retryable 0 provider_circuit_open": 4,
  });
  await makeAllDue();
  await workThrough(second);
  expect(Object.keys(await countJobs()).toSorted()).toEqual([
    "retryable 0 provider_circuit_open",
    "retryable 1 provider_circuit_open",
  ]);
  const asked = () => Object.values(answersOf(emulator)).reduce((sum, count) => sum + count, 0);
  expect(asked()).toBe(5);
  await endOpenTime();
  await makeAllDue();
  isProbe = true;
  await first.tick();
  await probing.promise;
  await second.tick();
  await second.idle();
  expect(asked()).toBe(5);
  answering.resolve();
  await first.idle();
  expect(await listCircuits(bench.database)).toMatchObject([{ opened_at: null, failure_count: 0 }]);
  await makeAllDue();
  await workThrough(second);
  expect(await countJobs()).toEqual({ done: 8 });
  for (const upload of uploads) expect(await readCodes(bench.database, upload)).toContain("provider_circuit_open");
  expect(bench.logged.filter((line) => line.includes("provider is out of order"))).toHaveLength(1);
});

it("what is spent is what the provider bills, and a budget holds back new work until the next day", async () => {
  const emulator = await emulate();
  await submitMany(3);
  const worker = openWorker(embedderOf(emulator), { concurrency: 1 });
  await worker.tick();
  await worker.idle();
  const { billed_tokens } = emulator.stats();
  const [spent] = await listSpending(bench.database, { days: 1 });
  expect(spent).toMatchObject({ provider: "openai", model: MODEL, request_count: 1, token_count: billed_tokens });
  expect(spent?.cost_usd).toBeCloseTo((billed_tokens * 0.02) / 1_000_000, 10);

  const usdPerDay = 1.24 * (spent?.cost_usd ?? 0);
  const frugal = openWorker(embedderOf(emulator), { budgets: { usdPerDay } });
  await workThrough(frugal);
  expect(await countJobs()).toEqual({ done: 1, "retryable 0 budget_exhausted": 2 });
  expect(answersOf(emulator)).toEqual({ 200: 1 });
  expect(await getSpendingToday(bench.database)).toMatchObject({ reserved_usd: 0 });
  expect(bench.logged.filter((line) => line.includes("most of today's budget is used"))).toHaveLength(1);

  await makeAllDue();
  await workThrough(frugal);
  expect(await countJobs()).toEqual({ done: 1, "retryable 0 budget_exhausted": 2 });
  await run("update upload_pipeline.spending_days set day = day - 1");
  await makeAllDue();
  await workThrough(frugal);
  expect(await countJobs()).toEqual({ done: 2, "retryable 0 budget_exhausted": 1 });
  await makeAllDue();
  await workThrough(openWorker(embedderOf(emulator), { budgets: { usdPerDay: 1 } }));
  expect(await countJobs()).toEqual({ done: 3 });
});

it("a user's budget holds back that user's documents alone", async () => {
  const emulator = await emulate();
  const { document } = await submit(1);
  const { user_id } = document;
  const worker = openWorker(embedderOf(emulator));
  await workThrough(worker);
  const { spent_usd } = await getSpendingToday(bench.database, user_id);
  await bench.submit(policyOf(1).replaceAll("Clause", "Paragraph"), { user_id });
  await submit(2);
  await workThrough(openWorker(embedderOf(emulator), { budgets: { usdPerUserPerDay: 1.5 * spent_usd } }));
  expect(await countJobs()).toEqual({ done: 2, "retryable 0 budget_exhausted": 1 });
});

it("a request that is cut off by the worker's end counts as lost, and frees its place", async () => {
  const asked = Promise.withResolvers<void>();
  const emulator = await emulate({
    onRequest: () => {
      asked.resolve();
      return new Promise<void>(() => undefined);
    },
  });
  await submit(1);
  const worker = openWorker(embedderOf(emulator));
  await worker.tick();
  await asked.promise;
  expect(await listProviderLimits(bench.database)).toMatchObject([{ in_flight_count: 1 }]);
  await worker.stop({ deadlineMs: 0 });
  expect(await countJobs()).toEqual({ queued: 1 });
  // The claim does not wait for what its request leaves behind.
  await expect
    .poll(() => listSpending(bench.database, { days: 1 }))
    .toMatchObject([{ request_count: 0, lost_request_count: 1 }]);
  expect(await listProviderLimits(bench.database)).toMatchObject([{ in_flight_count: 0 }]);
});

it("twenty documents whose every fifth request fails are all completed, and nothing is paid twice", async () => {
  const rates = { server_error: 0.06, rate_limited: 0.06, half_body: 0.05, timeout: 0.03 };
  const emulator = await emulate({ seed: 3, rates, hangMs: 5 });
  await Promise.all(Array.from({ length: 20 }, (_, number) => submit(number, 1 + (number % 5))));
  // Small batches, so that there are many requests to fail.
  const workers = [1, 2].map(() => {
    const embedder = { ...embedderOf(emulator), batch: { maxInputs: 1, maxTokens: 100_000 } };
    return openWorker(embedder, { longestRateWaitMs: 500, retryBaseDelayMs: 1 });
  });
  for (let round = 0; round < 50 && (await countJobs())["done"] !== 20; round += 1) {
    await Promise.all(workers.map(workThrough));
    await endOpenTime();
    await run("update upload_pipeline.provider_limits set paused_until = null");
    await makeAllDue();
  }
  expect(await countJobs()).toEqual({ done: 20 });
  const { faults, paid_again_count, billed_tokens, inputs } = emulator.stats();
  expect(Object.values(faults).reduce((sum, count) => sum + count, 0)).toBeGreaterThan(5);
  expect(paid_again_count).toBe(0);
  const [chunks] = await bench.database.many(
    z.object({ total: z.number(), different: z.number(), embedded: z.number() }),
    `select count(*) as total, count(distinct text) as different, count(embedding) as embedded
     from upload_pipeline.document_chunks`,
  );
  expect(chunks).toEqual({ total: inputs.length, different: inputs.length, embedded: inputs.length });
  const lostTokens = inputs.reduce((sum, input) => sum + input.tokens * input.lost_count, 0);
  expect(await listSpending(bench.database, { days: 1 })).toMatchObject([
    {
      request_count: inputs.length,
      token_count: billed_tokens - lostTokens,
      lost_request_count: faults.half_body + faults.timeout,
    },
  ]);
  expect(await getSpendingToday(bench.database)).toMatchObject({ reserved_usd: 0 });
});
