import { randomUUID } from "node:crypto";
import { cancelJob, diagnose, findPageSource, listCircuits, listEvents, listPages, redriveJobs } from "@pipeline/db";
import { readJob } from "@pipeline/db/testing";
import { createLogger, AppError } from "@pipeline/runtime";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { makeDue, policyOf, readCodes, workThrough } from "../../worker.fixture.ts";
import {
  endOpenTime,
  finishJob,
  forgetFaults,
  KEY,
  type LlamaParseBench,
  openLlamaParseBench,
  readParsedDetail,
  readSubmissions,
  settleAttempts,
} from "./llamaparse.fixture.ts";
import { withdrawSubmissions } from "./withdraw-submissions.ts";

let bench: LlamaParseBench;
beforeAll(async () => {
  bench = await openLlamaParseBench();
});
afterEach(() => bench.clear());
afterAll(() => bench.close());

const jobOf = (jobId: string) => readJob(bench.database, jobId);
const quiet = createLogger({ level: "silent", service: "test" });

const tidy = (client = bench.createClient()): Promise<void> =>
  withdrawSubmissions(client, { database: bench.database, log: quiet, signal: new AbortController().signal });

async function secondsUntilDue(jobId: string): Promise<number> {
  const [row] = await bench.database.many(
    z.object({ seconds: z.number() }),
    `select extract(epoch from due_at - updated_at)::float8 as seconds from ${bench.database.schema}.upload_jobs where job_id = $1`,
    [jobId],
  );
  return row?.seconds ?? Number.NaN;
}

/** As if the document had been with the provider for so long. */
async function submittedAgo(jobId: string, age: string): Promise<void> {
  await bench.database.run(
    `update ${bench.database.schema}.provider_jobs set submitted_at = now() - $2::interval where job_id = $1`,
    [jobId, age],
  );
}

const SENT = "POST /api/v2/parse/upload";
const ASKED = "GET /api/v2/parse/:id";

describe("a document for LlamaParse", () => {
  it("is sent, waited for without a worker, and complete once the provider has read it", async () => {
    const emulator = await bench.start({ parseMs: [60_000, 60_000] });
    const upload = await bench.submit(`${policyOf(1)}\f## Second page\n\nHail is covered.\n`);
    const { job_id, correlation_id } = upload.job;
    const worker = bench.openWorker();
    await workThrough(worker);
    expect(await jobOf(job_id)).toMatchObject({ state: "waiting", waiting_for: "parser", status: "parsing" });
    expect(await secondsUntilDue(job_id)).toBeCloseTo(3, 0);

    await makeDue(bench.database, job_id);
    await workThrough(worker);
    expect(await jobOf(job_id)).toMatchObject({ state: "waiting", retry_count: 0 });
    emulator.finishJobs();
    await emulator.settled();
    await makeDue(bench.database, job_id);
    await workThrough(worker);

    expect(await jobOf(job_id)).toMatchObject({ state: "done", progress: { pages_done: 2, pages_total: 2 } });
    expect(await readParsedDetail(bench.database, upload)).toEqual({
      parser: "llamaparse",
      parser_version: "cost_effective latest",
      provider: "llamaparse",
      tier: "cost_effective",
      version: "latest",
      page_count: 2,
      credits: 6,
      is_credits_estimate: true,
      failed_page_count: 0,
      notes: [],
      note_count: 0,
    });
    const [submission] = await readSubmissions(bench.database, job_id);
    expect(submission).toMatchObject({ outcome: "completed", page_count: 2, credits: 6, is_credits_estimate: true });
    expect(await findPageSource(bench.database, { ...upload.job, generation: 1 })).toEqual({
      parser: "llamaparse",
      parser_version: "cost_effective latest",
      submission_id: submission?.submission_id,
      fallback_code: null,
    });
    const pages = await listPages(bench.database, { ...upload.job, generation: 1 });
    expect(pages[1]?.text).toContain("Hail is covered.");
    expect(emulator.stats().jobs).toMatchObject([{ id: submission?.provider_job_id, poll_count: 3 }]);
    const logged = bench.logged.join("");
    expect(logged).toContain(correlation_id);
    for (const secret of [KEY, submission?.webhook_secret ?? KEY, "Hail"]) expect(logged).not.toContain(secret);
  });

  it.for([
    { age: "1 second", seconds: 3 },
    { age: "80 seconds", seconds: 20 },
    { age: "20 minutes", seconds: 60 },
  ])("is asked after again $seconds s later at an age of $age", async ({ age, seconds }) => {
    await bench.start({ parseMs: [60_000, 60_000] });
    const { job } = await bench.submit(policyOf(1));
    const worker = bench.openWorker();
    await workThrough(worker);
    await submittedAgo(job.job_id, age);
    await makeDue(bench.database, job.job_id);
    await workThrough(worker);
    expect(await secondsUntilDue(job.job_id)).toBeCloseTo(seconds, 0);
  });

  it("is given up, and withdrawn, when the provider takes too long; the next attempt sends it anew", async () => {
    const emulator = await bench.start({ parseMs: [60_000, 60_000] });
    const upload = await bench.submit(policyOf(1));
    const { job_id } = upload.job;
    const worker = bench.openWorker();
    await workThrough(worker);
    await submittedAgo(job_id, "1 hour");
    await makeDue(bench.database, job_id);
    await workThrough(worker);
    expect(await jobOf(job_id)).toMatchObject({ state: "retryable", last_error: { code: "parse_timeout" } });
    await tidy();
    expect(await readSubmissions(bench.database, job_id)).toMatchObject([
      { outcome: "timed_out", code: "parse_timeout", is_cancelled: true },
    ]);
    expect(emulator.stats().jobs.map((job) => job.status)).toEqual(["CANCELLED"]);
    await makeDue(bench.database, job_id);
    await workThrough(worker);
    emulator.finishJobs();
    await finishJob(bench, { job_id, worker, emulator });
    expect(await jobOf(job_id)).toMatchObject({ state: "done" });
    expect(emulator.stats()).toMatchObject({ paid_again_count: 0, files: [{ job_count: 2, billed_count: 1 }] });
  });

  it("that has pages which cannot be read is complete, and says which", async () => {
    const emulator = await bench.start();
    const upload = await bench.submit(`${policyOf(1)} emulate:failed_pages=2\fSecond page of two.\n`);
    const { job_id } = upload.job;
    await finishJob(bench, { job_id, worker: bench.openWorker(), emulator });
    expect(await jobOf(job_id)).toMatchObject({ state: "done", progress: { pages_total: 2, pages_failed: 1 } });
    expect(await readParsedDetail(bench.database, upload)).toMatchObject({
      page_count: 2,
      failed_page_count: 1,
      credits: 3,
      notes: [{ code: "page_failed", page_number: 2 }],
      note_count: 1,
    });
    expect(emulator.stats()).toMatchObject({ billed_credits: 3 });
  });

  it("fails with what is wrong with it, and is sent once", async () => {
    const emulator = await bench.start();
    const upload = await bench.submit(`${policyOf(1)} emulate:PDF_IS_PROTECTED`);
    const { job_id } = upload.job;
    await finishJob(bench, { job_id, worker: bench.openWorker({ fallback: "local" }), emulator });
    expect(await jobOf(job_id)).toMatchObject({
      state: "deadletter",
      status: "parsing",
      last_error: { stage: "parse", code: "password_protected", retryable: false },
    });
    expect(await readSubmissions(bench.database, job_id)).toMatchObject([
      { outcome: "failed", code: "password_protected" },
    ]);
    expect(emulator.stats().jobs).toHaveLength(1);
  });

  it("that the provider fails to read is sent anew, as often as there are retries", async () => {
    const emulator = await bench.start();
    const upload = await bench.submit(`${policyOf(1)} emulate:TIMEOUT`);
    const { job_id } = upload.job;
    await finishJob(bench, { job_id, worker: bench.openWorker({}, { options: { maxRetries: 1 } }), emulator });
    expect(await jobOf(job_id)).toMatchObject({ state: "deadletter", last_error: { code: "parse_timeout" } });
    expect(await readCodes(bench.database, upload)).toEqual(["parse_timeout", "parse_timeout"]);
    expect((await readSubmissions(bench.database, job_id)).map(({ outcome }) => outcome)).toEqual(["failed", "failed"]);
    expect(emulator.stats().jobs).toHaveLength(2);
  });

  it("that is refused at the upload fails with that, and is no sign of an outage", async () => {
    const emulator = await bench.start();
    const upload = await bench.submit(`${policyOf(1)} emulate:upload_status=413`);
    const { job_id } = upload.job;
    await workThrough(bench.openWorker());
    expect(await jobOf(job_id)).toMatchObject({
      state: "deadletter",
      last_error: { code: "llamaparse_too_large", retryable: false },
    });
    expect(await readSubmissions(bench.database, job_id)).toMatchObject([
      { outcome: "failed", code: "llamaparse_too_large" },
    ]);
    expect(await listCircuits(bench.database)).toEqual([]);
    expect(emulator.stats().jobs).toEqual([]);
  });
});

describe("faults of the provider", () => {
  it("are waited out at every call without costing an attempt or another job", async () => {
    const emulator = await bench.start();
    const upload = await bench.submit(policyOf(1));
    const { job_id } = upload.job;
    emulator.failNext("server_error", { route: SENT, times: 2 });
    emulator.failNext("rate_limited", { route: SENT });
    emulator.failNext("half_body", { route: SENT });
    emulator.failNext("half_body", { route: "GET /api/v2/parse" });
    emulator.failNext("server_error", { route: ASKED });
    emulator.failNext("half_body", { route: ASKED, times: 2 });
    await finishJob(bench, { job_id, worker: bench.openWorker(), emulator });
    expect(await jobOf(job_id)).toMatchObject({ state: "done", crash_count: 0 });
    // Each time that the reason is another one.
    const [unavailable, rateLimited] = ["llamaparse_unavailable", "llamaparse_rate_limited"];
    expect(await readCodes(bench.database, upload)).toEqual([unavailable, rateLimited, unavailable]);
    expect(emulator.stats()).toMatchObject({ paid_again_count: 0, files: [{ job_count: 1, lost_count: 1 }] });
  });

  it("are told to the owner once, with why and until when the document waits", async () => {
    const emulator = await bench.start({ parseMs: [60_000, 60_000] });
    const { job } = await bench.submit(policyOf(1));
    const worker = bench.openWorker();
    await workThrough(worker);
    emulator.failNext("server_error", { route: ASKED, times: 3 });
    for (let look = 1; look <= 3; look += 1) {
      await makeDue(bench.database, job.job_id);
      await workThrough(worker);
    }
    const events = await listEvents(bench.database, { ...job, after: 0, limit: 100 });
    const { due_at, state } = await jobOf(job.job_id);
    expect(state).toBe("waiting");
    expect(events.filter(({ type }) => type === "waiting")).toEqual([
      expect.objectContaining({
        status: "parsing",
        state: "waiting",
        code: "llamaparse_unavailable",
        detail: expect.objectContaining({ stage: "parse", message: "The parsing service is not available." }),
      }),
    ]);
    expect(due_at).not.toBeNull();
    const diagnoses = await diagnose(bench.database);
    expect(diagnoses.filter(({ severity, total }) => severity === "error" && total > 0)).toEqual([]);
  });

  it("at one document's upload alone end in failed attempts, however long each of them is waited for", async () => {
    const emulator = await bench.start();
    const upload = await bench.submit(`${policyOf(1)} emulate:upload_status=503`);
    const { job_id } = upload.job;
    const worker = bench.openWorker({}, { options: { maxRetries: 0 } });
    await workThrough(worker);
    for (let looks = 0; looks < 20 && (await jobOf(job_id)).state === "waiting"; looks += 1) {
      await makeDue(bench.database, job_id);
      await workThrough(worker);
      await forgetFaults(bench.database);
      if (looks % 2 === 0) await settleAttempts(bench.database);
    }
    expect(await jobOf(job_id)).toMatchObject({ state: "deadletter", last_error: { code: "llamaparse_unavailable" } });
    expect(emulator.stats().answers[SENT]).toEqual({ 503: 7 });
  });

  it("that are one document's alone and outlast the retries fail it, which a redrive takes up where it was", async () => {
    const emulator = await bench.start();
    const upload = await bench.submit(policyOf(1));
    const { job_id } = upload.job;
    const worker = bench.openWorker();
    await workThrough(worker);
    emulator.failNext("server_error", { route: ASKED, times: 10 });
    await finishJob(bench, { job_id, worker, emulator, areOthersServed: true });
    expect(await jobOf(job_id)).toMatchObject({ state: "deadletter", last_error: { code: "llamaparse_unavailable" } });
    // Why it waited, and four failed attempts.
    expect(await readCodes(bench.database, upload)).toEqual(Array(5).fill("llamaparse_unavailable"));
    expect(await readSubmissions(bench.database, job_id)).toMatchObject([{ outcome: null }]);
    await tidy();
    await bench.database.transaction((tx) => redriveJobs(tx, { filter: { limit: 1 }, correlation_id: "test" }));
    await finishJob(bench, { job_id, worker, emulator });
    expect(await jobOf(job_id)).toMatchObject({ state: "done" });
    expect(emulator.stats()).toMatchObject({ paid_again_count: 0, files: [{ job_count: 1 }] });
  });

  it("let the local parser stand in where that is configured, and it is said everywhere", async () => {
    const emulator = await bench.start();
    const upload = await bench.submit(policyOf(1));
    const { job_id } = upload.job;
    const worker = bench.openWorker({ fallback: "local" });
    await workThrough(worker);
    emulator.failNext("server_error", { route: ASKED, times: 10 });
    await finishJob(bench, { job_id, worker, emulator, areOthersServed: true });
    expect(await jobOf(job_id)).toMatchObject({ state: "done" });
    // Why it waited, three retries, and at the fourth fault the other parser.
    expect(await readCodes(bench.database, upload)).toEqual(Array(4).fill("llamaparse_unavailable"));
    const detail = await readParsedDetail(bench.database, upload);
    expect(detail).toMatchObject({
      fallback_for: { provider: "llamaparse", code: "llamaparse_unavailable" },
      notes: [{ code: "provider_fallback" }],
    });
    expect(detail["parser"]).not.toBe("llamaparse");
    expect(await findPageSource(bench.database, { ...upload.job, generation: 1 })).toEqual({
      parser: detail["parser"],
      parser_version: detail["parser_version"],
      submission_id: null,
      fallback_code: "llamaparse_unavailable",
    });
    await tidy();
    expect(await readSubmissions(bench.database, job_id)).toMatchObject([{ outcome: "replaced", is_cancelled: true }]);
  });

  it("of the account let nobody stand in for what was sent, and cost no attempt until it is open again", async () => {
    const emulator = await bench.start({ apiKeys: [KEY] });
    const upload = await bench.submit(policyOf(1));
    const { job_id } = upload.job;
    await workThrough(bench.openWorker());
    await makeDue(bench.database, job_id);
    const shut = bench.createClient({ apiKey: "llx-another-key" });
    await workThrough(bench.openWorker({ client: shut, fallback: "local" }));
    expect(await jobOf(job_id)).toMatchObject({
      state: "retryable",
      retry_count: 0,
      last_error: { code: "llamaparse_unauthorized", retryable: true },
    });
    await endOpenTime(bench.database);
    await makeDue(bench.database, job_id);
    await finishJob(bench, { job_id, worker: bench.openWorker(), emulator });
    expect(await jobOf(job_id)).toMatchObject({ state: "done" });
    expect(emulator.stats().jobs).toHaveLength(1);
  });
});

it("documents are all complete, and none is paid for twice, while a fifth of all calls fail", async () => {
  const rates = { server_error: 0.05, rate_limited: 0.05, half_body: 0.05, timeout: 0.05 };
  const emulator = await bench.start({ rates, hangMs: 1 });
  const worker = bench.openWorker();
  const jobIds: string[] = [];
  for (let number = 1; number <= 30; number += 1) {
    const { job } = await bench.submit(`# Policy number ${number}\n\nWater damage is covered.\n`);
    jobIds.push(job.job_id);
  }
  for (const job_id of jobIds) await finishJob(bench, { job_id, worker, emulator });
  for (const job_id of jobIds) expect(await jobOf(job_id)).toMatchObject({ state: "done" });
  const { faults, files, paid_again_count } = emulator.stats();
  for (const fault of ["server_error", "rate_limited", "half_body", "timeout"] as const) {
    expect(faults[fault], fault).toBeGreaterThan(0);
  }
  expect(paid_again_count).toBe(0);
  expect(files.map(({ job_count }) => job_count)).toEqual(jobIds.map(() => 1));
});

describe("a submission whose answer was lost", () => {
  it("is found by its id instead of being sent again", async () => {
    const emulator = await bench.start();
    emulator.failNext("half_body", { route: SENT });
    const upload = await bench.submit(policyOf(1));
    const { job_id } = upload.job;
    const worker = bench.openWorker();
    await workThrough(worker);
    const [before] = await readSubmissions(bench.database, job_id);
    expect(before).toMatchObject({ provider_job_id: null, outcome: null });
    await finishJob(bench, { job_id, worker, emulator });
    const after = await readSubmissions(bench.database, job_id);
    expect(after).toMatchObject([{ submission_id: before?.submission_id, outcome: "completed" }]);
    expect(emulator.stats().jobs).toHaveLength(1);
  });

  it("is not sent again while what was sent can still become a job", async () => {
    const emulator = await bench.start();
    emulator.failNext("half_body", { route: SENT });
    const upload = await bench.submit(policyOf(1));
    const { job_id } = upload.job;
    const client = bench.createClient();
    const worker = bench.openWorker({ client: { ...client, findJob: () => Promise.resolve(undefined) } });
    await workThrough(worker);
    for (let look = 0; look < 3; look += 1) {
      await makeDue(bench.database, job_id);
      await workThrough(worker);
      expect(await secondsUntilDue(job_id)).toBeGreaterThan(0);
    }
    expect(emulator.stats().jobs).toHaveLength(1);
    await settleAttempts(bench.database);
    await makeDue(bench.database, job_id);
    await workThrough(worker);
    expect(emulator.stats().jobs).toHaveLength(2);
    expect(await readSubmissions(bench.database, job_id)).toHaveLength(1);
  });

  it("is never sent again because the provider's list was too long to be looked through", async () => {
    const emulator = await bench.start();
    emulator.failNext("half_body", { route: SENT });
    const upload = await bench.submit(policyOf(1));
    const { job_id } = upload.job;
    const client = bench.createClient();
    const unlisted = new AppError({ kind: "transient", code: "llamaparse_jobs_unlisted", message: "Too many." });
    const worker = bench.openWorker({ client: { ...client, findJob: () => Promise.reject(unlisted) } });
    await finishJob(bench, { job_id, worker, emulator });
    expect(await jobOf(job_id)).toMatchObject({
      state: "deadletter",
      last_error: { code: "llamaparse_jobs_unlisted" },
    });
    expect(emulator.stats().jobs).toHaveLength(1);
  });
});

const cancel = (job_id: string) => cancelJob(bench.database, { job_id, correlation_id: randomUUID() });

describe("a job that is cancelled", () => {
  it("is cancelled at the provider as well", async () => {
    const emulator = await bench.start({ parseMs: [60_000, 60_000] });
    const { job } = await bench.submit(policyOf(1));
    await workThrough(bench.openWorker());
    await cancel(job.job_id);
    await tidy();
    expect(emulator.stats().jobs.map(({ status }) => status)).toEqual(["CANCELLED"]);
    expect(await readSubmissions(bench.database, job.job_id)).toMatchObject([
      { outcome: "withdrawn", is_cancelled: true },
    ]);
    expect(await jobOf(job.job_id)).toMatchObject({ state: "cancelled", status: "parsing" });
  });

  it("is cancelled at the provider although its answer was lost", async () => {
    const emulator = await bench.start({ parseMs: [60_000, 60_000] });
    emulator.failNext("half_body", { route: SENT });
    const { job } = await bench.submit(policyOf(1));
    await workThrough(bench.openWorker());
    await cancel(job.job_id);
    await tidy();
    await bench.database.run(`update ${bench.database.schema}.provider_jobs set cancel_due_at = now()`);
    await tidy();
    expect(emulator.stats().jobs.map(({ status }) => status)).toEqual(["CANCELLED"]);
    expect(await readSubmissions(bench.database, job.job_id)).toMatchObject([{ is_cancelled: true }]);
  });

  it("is tried to be cancelled there again when the provider could not be reached", async () => {
    const emulator = await bench.start({ parseMs: [60_000, 60_000] });
    const { job } = await bench.submit(policyOf(1));
    await workThrough(bench.openWorker());
    await cancel(job.job_id);
    emulator.failNext("server_error", { times: 2 });
    await tidy();
    expect(await readSubmissions(bench.database, job.job_id)).toMatchObject([{ is_cancelled: false }]);
    await bench.database.run(`update ${bench.database.schema}.provider_jobs set cancel_due_at = now()`);
    await tidy();
    expect(emulator.stats().jobs.map(({ status }) => status)).toEqual(["CANCELLED"]);
  });

  it("is told by a worker that runs, and nobody else is", async () => {
    const emulator = await bench.start({ parseMs: [60_000, 60_000] });
    const { job } = await bench.submit(policyOf(1));
    const other = await bench.submit(policyOf(2));
    await workThrough(bench.openWorker());
    await cancel(job.job_id);
    await bench.openWorker().start();
    const cancelled = () => emulator.stats().jobs.filter(({ status }) => status === "CANCELLED").length;
    await expect.poll(cancelled, { timeout: 30_000, interval: 50 }).toBe(1);
    expect(await readSubmissions(bench.database, other.job.job_id)).toMatchObject([{ outcome: null }]);
  });
});
