import { findPageSource, getSpendingToday, listCircuits, type RegisteredUpload } from "@pipeline/db";
import { readJob } from "@pipeline/db/testing";
import type { LlamaParse } from "@pipeline/mocks";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { policyOf, readCodes, workThrough } from "../../worker.fixture.ts";
import type { Worker } from "../../worker.ts";
import {
  endOpenTime,
  type LlamaParseBench,
  openLlamaParseBench,
  readParsedDetail,
  readSubmissions,
  settleAttempts,
} from "./llamaparse.fixture.ts";

let bench: LlamaParseBench;
beforeAll(async () => {
  bench = await openLlamaParseBench();
});
afterEach(async () => {
  await bench.clear();
  for (const table of ["spending", "spending_days", "spending_reservations"]) {
    await bench.database.run(`delete from ${bench.database.schema}.${table}`);
  }
  bench.logged.length = 0;
});
afterAll(() => bench.close());

const SENT = "POST /api/v2/parse/upload";
/** Nothing listens there. */
const NOWHERE = "http://127.0.0.1:1";

const jobOf = ({ job }: RegisteredUpload) => readJob(bench.database, job.job_id);

/** Documents of which no two are the same file. */
async function submitMany(count: number, words = "Water damage is covered."): Promise<RegisteredUpload[]> {
  const uploads: RegisteredUpload[] = [];
  for (let number = 1; number <= count; number += 1) {
    uploads.push(await bench.submit(`# Policy number ${number}\n\n${words}\n`));
  }
  return uploads;
}

/** Workers that take one document after the other, so that what is asked can be counted. */
const openTwo = (setup: Parameters<LlamaParseBench["openWorker"]>[0] = {}): Worker[] =>
  [1, 2].map(() => bench.openWorker(setup, { options: { concurrency: 1 } }));

/** Lets every time come that a job waits for, the provider's trial too, and all workers do what they can. */
async function round(workers: Worker[], { isTrial = true } = {}): Promise<void> {
  if (isTrial) await endOpenTime(bench.database);
  await settleAttempts(bench.database);
  await bench.database.run(
    `update ${bench.database.schema}.upload_jobs set due_at = now() where state in ('waiting', 'retryable')`,
  );
  for (const worker of workers) await workThrough(worker);
}

async function finishAll(workers: Worker[], emulator: LlamaParse): Promise<void> {
  for (let rounds = 0; rounds < 10 && !isOnly(await countJobs(), "done"); rounds += 1) {
    await round(workers);
    emulator.finishJobs();
    await emulator.settled();
  }
}

const isOnly = (counts: Record<string, number>, kind: string): boolean => Object.keys(counts).join() === kind;

const jobRow = z.object({ state: z.string(), retry_count: z.number(), code: z.string().nullable() });

/** How many jobs there are of each kind: `retryable 0 provider_circuit_open`. */
async function countJobs(): Promise<Record<string, number>> {
  const rows = await bench.database.many(
    jobRow,
    `select state, retry_count, last_error ->> 'code' as code from ${bench.database.schema}.upload_jobs`,
  );
  const counts: Record<string, number> = {};
  for (const { state, retry_count, code } of rows) {
    const kind = state === "retryable" || state === "deadletter" ? `${state} ${retry_count} ${code}` : state;
    counts[kind] = (counts[kind] ?? 0) + 1;
  }
  return counts;
}

const sourceOf = ({ job }: RegisteredUpload) => findPageSource(bench.database, { ...job, generation: 1 });

function expectPaidOnce(emulator: LlamaParse, count: number): void {
  const { files, jobs, paid_again_count } = emulator.stats();
  expect(jobs).toHaveLength(count);
  expect(files.map(({ job_count }) => job_count)).toEqual(Array(count).fill(1));
  expect(paid_again_count).toBe(0);
}

describe("an outage of LlamaParse", () => {
  it("costs no document an attempt, is tried by one request at a time, and has none sent twice", async () => {
    const emulator = await bench.start({ parseMs: [60_000, 60_000] });
    const sent = await submitMany(3);
    const workers = openTwo();
    for (const worker of workers) await workThrough(worker);
    const unsent = await submitMany(3, "Hail is covered.");
    emulator.failNext("server_error", { times: 5 + 2 });
    const failures = () => emulator.stats().faults.server_error;
    for (const worker of workers) await workThrough(worker);
    await round(workers, { isTrial: false });
    await round(workers, { isTrial: false });
    expect(failures()).toBe(5);
    for (let probes = 1; probes <= 2; probes += 1) {
      await round(workers, { isTrial: false });
      expect(failures()).toBe(5 + probes - 1);
      expect(await countJobs()).toEqual({ "retryable 0 provider_circuit_open": 6 });
      await round(workers);
      expect(failures()).toBe(5 + probes);
    }
    expect(await listCircuits(bench.database)).toMatchObject([
      { provider: "llamaparse", code: "provider_circuit_open", opened_at: expect.any(Date) },
    ]);
    // When it opened, and after each trial.
    expect(bench.logged.filter((line) => line.includes("provider is out of order"))).toHaveLength(3);

    await finishAll(workers, emulator);
    expect(await countJobs()).toEqual({ done: 6 });
    expect(await listCircuits(bench.database)).toMatchObject([{ opened_at: null, failure_count: 0 }]);
    for (const upload of [...sent, ...unsent]) {
      const codes = new Set(await readCodes(bench.database, upload));
      codes.delete("llamaparse_unavailable");
      expect(codes).toEqual(new Set(["provider_circuit_open"]));
      expect(await sourceOf(upload)).toMatchObject({ parser: "llamaparse", fallback_code: null });
    }
    expectPaidOnce(emulator, 6);
  });

  it("is waited out however long nobody answers at all, always with a time to look again", async () => {
    const emulator = await bench.start({ parseMs: [60_000, 60_000] });
    await submitMany(3);
    const workers = openTwo();
    for (const worker of workers) await workThrough(worker);
    await submitMany(3, "Hail is covered.");
    const cut = openTwo({ client: bench.createClient({ baseUrl: NOWHERE }) });
    for (let hours = 0; hours < 4; hours += 1) await round(cut);
    expect(await countJobs()).toEqual({ "retryable 0 provider_circuit_open": 6 });
    const rows = await bench.database.many(
      z.object({ seconds: z.number() }),
      `select extract(epoch from due_at - updated_at)::float8 as seconds from ${bench.database.schema}.upload_jobs`,
    );
    for (const { seconds } of rows) expect(seconds).toBeLessThanOrEqual(330);
    expect(rows).toHaveLength(6);
    await finishAll(workers, emulator);
    expect(await countJobs()).toEqual({ done: 6 });
    expectPaidOnce(emulator, 6);
  });

  it("is where asking too fast for longer than a minute leads to, and what waits says so", async () => {
    const emulator = await bench.start({ parseMs: [60_000, 60_000] });
    emulator.failNext("rate_limited", { route: SENT, times: 8 });
    await submitMany(1);
    const workers = openTwo();
    for (let look = 0; look < 8; look += 1) await round(workers);
    expect(await countJobs()).toEqual({ "retryable 0 llamaparse_rate_limited": 1 });
    expect(emulator.stats().faults.rate_limited).toBe(8);
    await finishAll(workers, emulator);
    expect(await countJobs()).toEqual({ done: 1 });
    expectPaidOnce(emulator, 1);
  });
});

describe("an outage of LlamaParse where the local parser stands in", () => {
  it("has read here what the provider does not have, which is said, and the rest there", async () => {
    const emulator = await bench.start({ parseMs: [60_000, 60_000] });
    const sent = await submitMany(2);
    const workers = openTwo({ fallback: "local" });
    for (const worker of workers) await workThrough(worker);
    emulator.failNext("half_body", { route: SENT });
    const lost = await bench.submit(policyOf(1));
    for (const worker of workers) await workThrough(worker);
    const unsent = await submitMany(3, "Hail is covered.");
    emulator.failNext("server_error", { times: 5 });
    const work = [...workers, ...openTwo({ fallback: "local", client: bench.createClient({ baseUrl: NOWHERE }) })];
    for (const worker of workers) await workThrough(worker);
    for (let looks = 0; looks < 3; looks += 1) await round(work.slice(2));
    expect(await countJobs()).toEqual({ done: 3, "retryable 0 provider_circuit_open": 3 });
    for (const upload of unsent) {
      const detail = await readParsedDetail(bench.database, upload);
      expect(detail).toMatchObject({
        fallback_for: { provider: "llamaparse", code: "provider_circuit_open" },
        notes: [{ code: "provider_fallback" }],
      });
      expect(await sourceOf(upload)).toMatchObject({ submission_id: null, fallback_code: "provider_circuit_open" });
    }
    await finishAll(workers, emulator);
    expect(await countJobs()).toEqual({ done: 6 });
    for (const upload of [...sent, lost]) {
      expect(await sourceOf(upload)).toMatchObject({ parser: "llamaparse", fallback_code: null });
    }
    expectPaidOnce(emulator, 3);
  });

  it("has read here what was sent, once the provider has had its time", async () => {
    await bench.start({ parseMs: [60_000, 60_000] });
    const [upload] = await submitMany(1);
    if (upload === undefined) throw new Error("There is one document.");
    await workThrough(bench.openWorker());
    const client = bench.createClient({ baseUrl: NOWHERE });
    const cut = [bench.openWorker({ client, fallback: "local" })];
    for (let looks = 0; looks < 6; looks += 1) await round(cut);
    expect(await countJobs()).toEqual({ "retryable 0 provider_circuit_open": 1 });
    await bench.database.run(
      `update ${bench.database.schema}.provider_jobs set submitted_at = now() - interval '1 hour'`,
    );
    await round(cut);
    expect(await jobOf(upload)).toMatchObject({ state: "done" });
    expect(await sourceOf(upload)).toMatchObject({ fallback_code: "provider_circuit_open" });
    expect(await readSubmissions(bench.database, upload.job.job_id)).toMatchObject([{ outcome: "replaced" }]);
  });

  it("fails no document that the local parser cannot read", async () => {
    await bench.start();
    const unreadable = await bench.submit("%PDF-1.7\nthis is no more than a beginning", {
      filename: "a.pdf",
      mime: "application/pdf",
    });
    const cut = [bench.openWorker({ client: bench.createClient({ baseUrl: NOWHERE }), fallback: "local" })];
    for (let looks = 0; looks < 5; looks += 1) await round(cut);
    expect(await jobOf(unreadable)).toMatchObject({
      state: "retryable",
      retry_count: 0,
      last_error: { code: "provider_circuit_open" },
    });
  });
});

describe("credits that are used up", () => {
  it("stop what was not sent without costing an attempt or a budget, and hold back nothing that was", async () => {
    const emulator = await bench.start({ parseMs: [60_000, 60_000] });
    const [paid] = await submitMany(1, "Paid before.");
    if (paid === undefined) throw new Error("There is one document.");
    const workers = openTwo();
    for (const worker of workers) await workThrough(worker);
    emulator.failNext("quota", { route: SENT, times: 2 });
    const unsent = await submitMany(5);
    for (const worker of workers) await workThrough(worker);
    const refusals = () => emulator.stats().answers[SENT]?.["402"];
    expect(refusals()).toBe(1);
    const alerts = bench.logged.filter((line) => line.includes("provider is out of order"));
    expect(alerts).toEqual([expect.stringContaining("llamaparse_quota_exhausted")]);
    const { reserved_usd } = await getSpendingToday(bench.database);

    emulator.finishJobs();
    await emulator.settled();
    await round(workers, { isTrial: false });
    expect(await countJobs()).toEqual({ done: 1, "retryable 0 llamaparse_quota_exhausted": 5 });
    expect(refusals()).toBe(1);
    // For the document that was with the provider.
    expect(reserved_usd).toBeGreaterThan(0);
    expect(await getSpendingToday(bench.database)).toMatchObject({ reserved_usd: 0 });
    await round(workers);
    expect(await countJobs()).toEqual({ done: 1, "retryable 0 llamaparse_quota_exhausted": 5 });
    expect(refusals()).toBe(2);
    await finishAll(workers, emulator);
    expect(await countJobs()).toEqual({ done: 6 });
    for (const upload of unsent) {
      expect(await readCodes(bench.database, upload)).toEqual(["llamaparse_quota_exhausted"]);
    }
    expectPaidOnce(emulator, 6);
  });

  it("let the local parser read what was not sent, where that is configured", async () => {
    const emulator = await bench.start();
    emulator.failNext("quota", { route: SENT });
    const uploads = await submitMany(3);
    for (const worker of openTwo({ fallback: "local" })) await workThrough(worker);
    expect(await countJobs()).toEqual({ done: 3 });
    expect(emulator.stats().answers[SENT]).toEqual({ 402: 1 });
    for (const upload of uploads) {
      expect(await sourceOf(upload)).toMatchObject({ fallback_code: "llamaparse_quota_exhausted" });
      expect(await readParsedDetail(bench.database, upload)).toMatchObject({
        fallback_for: { code: "llamaparse_quota_exhausted" },
      });
    }
  });
});
