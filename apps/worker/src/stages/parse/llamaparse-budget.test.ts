import { randomUUID } from "node:crypto";
import { cancelJob, getSpendingToday, listEvents, listSpending, retryJob } from "@pipeline/db";
import { readJob } from "@pipeline/db/testing";
import { createLocalEmbedder } from "@pipeline/embedding";
import { CREDITS_PER_PAGE, USD_PER_CREDIT } from "@pipeline/llamaparse";
import { createLogger } from "@pipeline/runtime";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { makeDue, policyOf, readCodes, workThrough } from "../../worker.fixture.ts";
import {
  finishJob,
  forgetFaults,
  type LlamaParseBench,
  openLlamaParseBench,
  PDF,
  pdfOf,
  readSubmissions,
} from "./llamaparse.fixture.ts";
import { withdrawSubmissions } from "./withdraw-submissions.ts";

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

const PAGE_USD = CREDITS_PER_PAGE.cost_effective * USD_PER_CREDIT;
const jobOf = (jobId: string) => readJob(bench.database, jobId);
const spentToday = () => listSpending(bench.database, { days: 1 });
const openWorker = (usdPerDay?: number, usdPerUserPerDay?: number) =>
  bench.openWorker(
    {},
    { embedder: createLocalEmbedder(), options: { concurrency: 1, budgets: { usdPerDay, usdPerUserPerDay } } },
  );

it("what a document's pages cost is recorded with them, by day, user and tier", async () => {
  const emulator = await bench.start();
  const { job, document } = await bench.submit(`${policyOf(1)}\fSecond page.\n`);
  await finishJob(bench, { job_id: job.job_id, worker: openWorker(), emulator });
  expect(await jobOf(job.job_id)).toMatchObject({ state: "done" });
  const [spent] = await listSpending(bench.database, { days: 1, user_id: document.user_id });
  expect(spent).toMatchObject({ provider: "llamaparse", model: "cost_effective", request_count: 1, page_count: 2 });
  expect(spent?.cost_usd).toBeCloseTo(2 * PAGE_USD, 10);
  expect(emulator.stats().billed_credits * USD_PER_CREDIT).toBeCloseTo(2 * PAGE_USD, 10);
  expect(await getSpendingToday(bench.database)).toMatchObject({ reserved_usd: 0 });
});

it("a budget holds back documents that were not sent, warns when most of it is gone, and finishes what is paid", async () => {
  const emulator = await bench.start({ parseMs: [60_000, 60_000] });
  const content = "# Policy\n\nWater damage is covered.\n";
  // Both are expected to have one page, and the budget has room for one of them.
  const first = await bench.submit(`${content}The first.\n`);
  const second = await bench.submit(`${content}The second.\n`);
  const budget = 1.2 * PAGE_USD;
  await workThrough(openWorker(budget));
  expect(await jobOf(first.job.job_id)).toMatchObject({ state: "waiting", waiting_for: "parser" });
  expect(await jobOf(second.job.job_id)).toMatchObject({
    state: "retryable",
    status: "parsing",
    retry_count: 0,
    last_error: { stage: "parse", code: "budget_exhausted", retryable: true },
  });
  expect(await readCodes(bench.database, second)).toEqual(["budget_exhausted"]);
  expect(bench.logged.filter((line) => line.includes("most of today's budget is used"))).toHaveLength(1);
  expect(emulator.stats().jobs).toHaveLength(1);

  emulator.finishJobs();
  await emulator.settled();
  // Nothing new is paid any more; the first document needs nothing new.
  await makeDue(bench.database, first.job.job_id);
  await makeDue(bench.database, second.job.job_id);
  await workThrough(openWorker(0));
  expect(await jobOf(first.job.job_id)).toMatchObject({ state: "done" });
  expect(await jobOf(second.job.job_id)).toMatchObject({ state: "retryable" });
  expect(await spentToday()).toMatchObject([{ request_count: 1, page_count: 1 }]);

  await makeDue(bench.database, second.job.job_id);
  await workThrough(openWorker(1));
  emulator.finishJobs();
  await finishJob(bench, { job_id: second.job.job_id, worker: openWorker(1), emulator });
  expect(await jobOf(second.job.job_id)).toMatchObject({ state: "done" });
  expect(emulator.stats()).toMatchObject({ paid_again_count: 0 });
});

it("what was refused or failed at the provider is free, and what may be billed counts as spent", async () => {
  const emulator = await bench.start({ parseMs: [60_000, 60_000] });
  emulator.failNext("quota", { route: "POST /api/v2/parse/upload" });
  await bench.submit(policyOf(1));
  await workThrough(openWorker());
  expect(await getSpendingToday(bench.database)).toMatchObject({ spent_usd: 0, reserved_usd: 0 });
  await forgetFaults(bench.database);
  const failing = await bench.submit(`${policyOf(1)} emulate:PDF_IS_PROTECTED`);
  await workThrough(openWorker());
  emulator.finishJobs();
  await finishJob(bench, { job_id: failing.job.job_id, worker: openWorker(), emulator });
  expect(await jobOf(failing.job.job_id)).toMatchObject({ state: "deadletter" });
  expect(await getSpendingToday(bench.database)).toMatchObject({ spent_usd: 0, reserved_usd: 0 });

  const { job } = await bench.submit(policyOf(2));
  await workThrough(openWorker());
  await cancelJob(bench.database, { job_id: job.job_id, correlation_id: randomUUID() });
  const log = createLogger({ level: "silent", service: "test" });
  const { signal } = new AbortController();
  await withdrawSubmissions(bench.createClient(), { database: bench.database, log, signal });
  expect(await getSpendingToday(bench.database)).toMatchObject({ spent_usd: expect.any(Number), reserved_usd: 0 });
  expect(await spentToday()).toMatchObject([{ request_count: 0, lost_request_count: 1 }]);
});

it.each([
  // The provider reads one page more than is allowed.
  ["too_many_pages", "page\f".repeat(600), 501],
  ["no_text", " \n\t\n", 1],
])("a result that is refused as %s is paid all the same, by its pages", async (code, content, pages) => {
  const emulator = await bench.start();
  const { job } = await bench.submit(content);
  await finishJob(bench, { job_id: job.job_id, worker: openWorker(), emulator });
  expect(await jobOf(job.job_id)).toMatchObject({ state: "deadletter", last_error: { code } });
  expect(await readSubmissions(bench.database, job.job_id)).toMatchObject([
    { outcome: "failed", code, page_count: pages, credits: pages * CREDITS_PER_PAGE.cost_effective },
  ]);
  const [spent] = await spentToday();
  expect(spent).toMatchObject({ request_count: 1, page_count: pages, lost_request_count: 0 });
  expect(spent?.cost_usd).toBeCloseTo(pages * PAGE_USD, 10);
  expect(emulator.stats().billed_credits * USD_PER_CREDIT).toBeCloseTo(pages * PAGE_USD, 10);
  expect(await getSpendingToday(bench.database)).toMatchObject({ reserved_usd: 0 });
});

it.each([
  ["many pages of few bytes", pdfOf(500), 500],
  ["few pages of many bytes", pdfOf(10, "x".repeat(1_000_000)), 10],
  ["what nobody here can open", "%PDF-1.7\nthis is no more than a beginning", 501],
])("what is set aside is the price of the document's pages: %s", async (_, content, pages) => {
  await bench.start({ parseMs: [60_000, 60_000], readPages: () => Promise.resolve({ pages: ["One."] }) });
  await bench.submit(content, PDF);
  await workThrough(openWorker());
  const { reserved_usd } = await getSpendingToday(bench.database);
  expect(reserved_usd).toBeCloseTo(pages * PAGE_USD, 10);
});

it("a document with more pages than are allowed is refused before anything is ordered", async () => {
  const emulator = await bench.start();
  const { job } = await bench.submit(pdfOf(501), PDF);
  await workThrough(openWorker());
  expect(await jobOf(job.job_id)).toMatchObject({
    state: "deadletter",
    last_error: { stage: "parse", code: "too_many_pages", retryable: false },
  });
  expect(await readSubmissions(bench.database, job.job_id)).toEqual([]);
  expect(emulator.stats().answers).toEqual({});
  expect(await getSpendingToday(bench.database)).toMatchObject({ spent_usd: 0, reserved_usd: 0 });
});

it.each([
  ["everybody", 5 * PAGE_USD, undefined],
  ["user", 20 * PAGE_USD, 5 * PAGE_USD],
])("a document that no day's budget has room for fails, and can be tried again: %s", async (scope, day, user) => {
  const emulator = await bench.start();
  const upload = await bench.submit(pdfOf(10), PDF);
  const { job_id } = upload.job;
  await workThrough(openWorker(day, user));
  expect(await jobOf(job_id)).toMatchObject({
    state: "deadletter",
    last_error: { stage: "parse", code: "budget_too_small", retryable: false },
  });
  const events = await listEvents(bench.database, { ...upload.job, after: 0, limit: 100 });
  expect(events.at(-1)).toMatchObject({ type: "deadlettered", code: "budget_too_small", detail: { scope } });
  expect(await readSubmissions(bench.database, job_id)).toEqual([]);
  expect(emulator.stats().answers).toEqual({});
  expect(await getSpendingToday(bench.database)).toMatchObject({ spent_usd: 0, reserved_usd: 0 });

  await bench.database.transaction((tx) => retryJob(tx, { job_id, correlation_id: randomUUID() }));
  await workThrough(openWorker(11 * PAGE_USD));
  expect(await jobOf(job_id)).toMatchObject({ state: "waiting", waiting_for: "parser" });
});
