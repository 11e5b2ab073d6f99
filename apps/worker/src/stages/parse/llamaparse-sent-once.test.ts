import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { listCircuits } from "@pipeline/db";
import { readJob } from "@pipeline/db/testing";
import type { LlamaParseClient } from "@pipeline/llamaparse";
import type { LlamaParse } from "@pipeline/mocks";
import { AppError, createLogger } from "@pipeline/runtime";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { makeDue, policyOf, readCodes, workThrough } from "../../worker.fixture.ts";
import type { Worker } from "../../worker.ts";
import {
  finishJob,
  KEY,
  type LlamaParseBench,
  openLlamaParseBench,
  passTime,
  readSubmissions,
} from "./llamaparse.fixture.ts";
import { withdrawSubmissions } from "./withdraw-submissions.ts";

let bench: LlamaParseBench;
beforeAll(async () => {
  bench = await openLlamaParseBench();
});
afterEach(() => bench.clear());
afterAll(() => bench.close());

const SENT = "POST /api/v2/parse/upload";

const jobOf = (jobId: string) => readJob(bench.database, jobId);

async function lookAgain(jobId: string, worker: Worker): Promise<void> {
  await makeDue(bench.database, jobId);
  await workThrough(worker);
}

interface HeldUploads {
  emulator: LlamaParse;
  /** Resolves when the first upload is there. */
  arrived: Promise<void>;
  uploadCount: () => number;
  /** Lets the provider go on with them, whoever still waits for an answer. */
  release: () => void;
}

/** A provider that is so slow to take a document that its upload seems to have begun `seconds` ago. */
async function holdUploads(seconds: number): Promise<HeldUploads> {
  const arrived = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  let count = 0;
  const emulator = await bench.start({
    onRequest: async ({ route }) => {
      if (route !== SENT) return;
      count += 1;
      if (count === 1) await passTime(bench.database, { seconds });
      arrived.resolve();
      await gate.promise;
    },
  });
  return { emulator, arrived: arrived.promise, uploadCount: () => count, release: gate.resolve };
}

async function expectOneJob(jobId: string, { emulator, uploadCount, release }: HeldUploads): Promise<void> {
  expect(await jobOf(jobId)).toMatchObject({ state: "waiting", waiting_for: "parser", retry_count: 0 });
  expect(uploadCount()).toBe(1);
  release();
  await expect.poll(() => emulator.stats().jobs.length, { timeout: 10_000 }).toBe(1);
  await finishJob(bench, { job_id: jobId, worker: bench.openWorker(), emulator });
  expect(await jobOf(jobId)).toMatchObject({ state: "done" });
  expect(emulator.stats()).toMatchObject({ paid_again_count: 0, files: [{ job_count: 1 }] });
}

/** What stands before the provider gives up, the provider goes on, and its list does not know of it yet. */
function openLateClient(status: number): LlamaParseClient {
  const client = bench.createClient();
  return {
    ...client,
    submit: async (submission, options) => {
      await client.submit(submission, options);
      const details = { status };
      throw new AppError({ kind: "transient", code: "llamaparse_unavailable", message: "It failed.", details });
    },
    findJob: () => Promise.resolve(undefined),
  };
}

const quiet = createLogger({ level: "silent", service: "test" });

const tidy = (): Promise<void> =>
  withdrawSubmissions(bench.createClient(), {
    database: bench.database,
    log: quiet,
    signal: new AbortController().signal,
  });

describe("a document whose job shows up only after nobody waits for it any more", () => {
  it("is not sent again after our time-out", async () => {
    const held = await holdUploads(61);
    const { job } = await bench.submit(policyOf(1));
    const worker = bench.openWorker({ client: bench.createClient({ callTimeoutMs: 1_000 }) });
    await workThrough(worker);
    await lookAgain(job.job_id, worker);
    expect(held.uploadCount()).toBe(1);
    await expectOneJob(job.job_id, held);
  });

  it("is not sent again by the next worker when its own was stopped", async () => {
    const held = await holdUploads(25);
    const { job } = await bench.submit(policyOf(1));
    const worker = bench.openWorker();
    await worker.tick();
    await held.arrived;
    await worker.stop({ deadlineMs: 0 });
    expect(await jobOf(job.job_id)).toMatchObject({ state: "queued" });
    await workThrough(bench.openWorker());
    await expectOneJob(job.job_id, held);
  });

  it.each([500, 502, 503, 504])("is not sent again after a %i", async (status) => {
    const emulator = await bench.start();
    const { job } = await bench.submit(policyOf(1));
    const worker = bench.openWorker({ client: openLateClient(status) });
    await workThrough(worker);
    for (let looks = 0; looks < 2; looks += 1) await lookAgain(job.job_id, worker);
    expect(emulator.stats().jobs).toHaveLength(1);
    await finishJob(bench, { job_id: job.job_id, worker: bench.openWorker(), emulator });
    expect(await jobOf(job.job_id)).toMatchObject({ state: "done" });
    expect(emulator.stats()).toMatchObject({ files: [{ job_count: 1 }] });
  });

  it("is sent again once no job can come of it any more", async () => {
    const held = await holdUploads(0);
    const { job } = await bench.submit(policyOf(1));
    await workThrough(bench.openWorker({ client: bench.createClient({ callTimeoutMs: 1_000 }) }));
    await passTime(bench.database, { seconds: 31 });
    const uploaded = lookAgain(job.job_id, bench.openWorker());
    await expect.poll(held.uploadCount, { timeout: 10_000 }).toBe(2);
    held.release();
    await uploaded;
  });
});

const notFound = (): AppError =>
  new AppError({ kind: "not_found", code: "llamaparse_job_not_found", message: "It does not know the job." });

/** Deletes the job's open submission at the provider. */
async function forget(emulator: LlamaParse, jobId: string): Promise<void> {
  await emulator.settled();
  const submissions = await readSubmissions(bench.database, jobId);
  const id = submissions.find(({ outcome }) => outcome === null)?.provider_job_id ?? "";
  const headers = { authorization: `Bearer ${KEY}` };
  const answer = await fetch(`${emulator.url}/api/v2/parse/${id}`, { method: "DELETE", headers });
  expect(answer.status).toBe(200);
}

describe("a job that the provider does not know", () => {
  it("is asked for once more before the document is sent again, which happens twice at most", async () => {
    const emulator = await bench.start();
    const upload = await bench.submit(policyOf(1));
    const { job_id } = upload.job;
    const worker = bench.openWorker();
    await workThrough(worker);
    for (let time = 1; time <= 3; time += 1) {
      await forget(emulator, job_id);
      for (let looks = 0; looks < 2; looks += 1) await lookAgain(job_id, worker);
      expect(await jobOf(job_id)).toMatchObject({ state: "waiting" });
      expect(emulator.stats().jobs).toHaveLength(time);
      await passTime(bench.database, { seconds: 31 });
      await lookAgain(job_id, worker);
    }
    expect(await jobOf(job_id)).toMatchObject({
      state: "deadletter",
      last_error: { code: "llamaparse_job_not_found" },
    });
    expect(emulator.stats().jobs).toHaveLength(3);
    expect(await readSubmissions(bench.database, job_id)).toMatchObject([
      { outcome: "lost", is_withdrawn: true },
      { outcome: "lost", is_withdrawn: true },
      { outcome: "failed", is_withdrawn: true },
    ]);
    expect(new Set(await readCodes(bench.database, upload))).toEqual(new Set(["llamaparse_job_not_found"]));
  });

  it.each([
    ["is listed", {}],
    ["is not listed either", { findJob: () => Promise.resolve(undefined) }],
    [
      "is in a list that is too long",
      {
        findJob: () =>
          Promise.reject(new AppError({ kind: "transient", code: "llamaparse_jobs_unlisted", message: "Too many." })),
      },
    ],
  ] satisfies [string, Partial<LlamaParseClient>][])("for a moment, and %s, is fetched", async (_, changes) => {
    const emulator = await bench.start();
    const { job } = await bench.submit(policyOf(1));
    await workThrough(bench.openWorker());
    await emulator.settled();
    const client = { ...bench.createClient(), ...changes };
    await lookAgain(job.job_id, bench.openWorker({ client: { ...client, status: () => Promise.reject(notFound()) } }));
    expect(await jobOf(job.job_id)).toMatchObject({ state: "waiting" });
    await lookAgain(job.job_id, bench.openWorker({ client }));
    expect(await jobOf(job.job_id)).toMatchObject({ state: "done" });
    expect(emulator.stats().jobs).toHaveLength(1);
  });

  it("and lists is waited for as long as a job may take", async () => {
    const emulator = await bench.start();
    const { job } = await bench.submit(policyOf(1));
    await workThrough(bench.openWorker());
    await emulator.settled();
    const client = { ...bench.createClient(), status: () => Promise.reject(notFound()) };
    const worker = bench.openWorker({ client });
    await lookAgain(job.job_id, worker);
    await passTime(bench.database, { seconds: 1_800 });
    await lookAgain(job.job_id, worker);
    expect(emulator.stats().jobs).toHaveLength(1);
    await passTime(bench.database, { seconds: 200 });
    await lookAgain(job.job_id, worker);
    expect(emulator.stats().jobs).toHaveLength(2);
  });

  it("is replaced by another one of the same submission, which is paid already", async () => {
    const emulator = await bench.start();
    const { job } = await bench.submit(policyOf(1));
    const worker = bench.openWorker();
    await workThrough(worker);
    const [submission] = await readSubmissions(bench.database, job.job_id);
    const path = join(bench.copiesDirectory, "again.md");
    await writeFile(path, policyOf(1));
    const submissionId = submission?.submission_id ?? "";
    const other = await bench.createClient().submit({ path, format: "markdown", submissionId });
    await forget(emulator, job.job_id);
    await lookAgain(job.job_id, worker);
    await finishJob(bench, { job_id: job.job_id, worker, emulator });
    expect(await jobOf(job.job_id)).toMatchObject({ state: "done" });
    expect(await readSubmissions(bench.database, job.job_id)).toMatchObject([
      { provider_job_id: other.id, outcome: "completed" },
    ]);
    expect(emulator.stats().jobs).toHaveLength(2);
  });
});

const refuseKey = (): Promise<never> =>
  Promise.reject(new AppError({ kind: "permanent", code: "llamaparse_unauthorized", message: "It refuses our key." }));

describe("a job that the provider hides from us although our account is good", () => {
  it("holds back nobody else, and is sent anew once it has had its time", async () => {
    const emulator = await bench.start({ parseMs: [60_000, 60_000] });
    const upload = await bench.submit(policyOf(1));
    const { job_id } = upload.job;
    const client = bench.createClient();
    await workThrough(bench.openWorker({ client }));
    const [first] = await readSubmissions(bench.database, job_id);
    const worker = bench.openWorker({
      client: {
        ...client,
        status: (id, options) => (id === first?.provider_job_id ? refuseKey() : client.status(id, options)),
      },
    });
    await lookAgain(job_id, worker);
    expect(await jobOf(job_id)).toMatchObject({ state: "waiting", retry_count: 0 });
    const open = (await listCircuits(bench.database)).filter(({ opened_at }) => opened_at !== null);
    expect(open).toEqual([]);
    const other = await bench.submit(policyOf(2));
    await workThrough(worker);
    emulator.finishJobs();
    await finishJob(bench, { job_id: other.job.job_id, worker, emulator });
    expect(await jobOf(other.job.job_id)).toMatchObject({ state: "done" });

    await bench.database.run(
      `update ${bench.database.schema}.provider_jobs set submitted_at = now() - interval '1 hour' where job_id = $1`,
      [job_id],
    );
    await lookAgain(job_id, worker);
    expect(await jobOf(job_id)).toMatchObject({ state: "retryable", last_error: { code: "parse_timeout" } });
    expect(await readSubmissions(bench.database, job_id)).toMatchObject([{ outcome: "timed_out", is_withdrawn: true }]);
    expect(await readCodes(bench.database, upload)).toEqual(["llamaparse_unauthorized", "parse_timeout"]);
    await lookAgain(job_id, worker);
    emulator.finishJobs();
    await finishJob(bench, { job_id, worker, emulator });
    expect(await jobOf(job_id)).toMatchObject({ state: "done" });
  });

  it("is the account's matter where that is refused too", async () => {
    await bench.start();
    const { job } = await bench.submit(policyOf(1));
    const client = bench.createClient();
    await workThrough(bench.openWorker({ client }));
    await lookAgain(job.job_id, bench.openWorker({ client: { ...client, status: refuseKey, check: refuseKey } }));
    expect(await jobOf(job.job_id)).toMatchObject({
      state: "retryable",
      retry_count: 0,
      last_error: { code: "llamaparse_unauthorized" },
    });
    expect(await listCircuits(bench.database)).toMatchObject([{ opened_at: expect.any(Date) }]);
  });
});

it("a document that may have been sent is read here during an outage, and its job is stopped once it can be found", async () => {
  const emulator = await bench.start({ parseMs: [60_000, 60_000] });
  const { job } = await bench.submit(policyOf(1));
  await workThrough(bench.openWorker({ client: openLateClient(503), fallback: "local" }));
  // Nothing listens there.
  const client = bench.createClient({ baseUrl: "http://127.0.0.1:1" });
  const worker = bench.openWorker({ client, fallback: "local" });
  for (let looks = 0; looks < 4; looks += 1) await lookAgain(job.job_id, worker);
  expect(await jobOf(job.job_id)).toMatchObject({ state: "done" });
  expect(await readSubmissions(bench.database, job.job_id)).toMatchObject([
    { outcome: "replaced", is_withdrawn: true },
  ]);

  const statuses = () => emulator.stats().jobs.map(({ status }) => status);
  await tidy();
  expect(statuses()).toEqual(["RUNNING"]);
  await bench.database.run(`update ${bench.database.schema}.provider_jobs set cancel_due_at = now()`);
  await tidy();
  expect(statuses()).toEqual(["CANCELLED"]);
});
