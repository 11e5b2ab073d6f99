import { randomUUID } from "node:crypto";
import { cancelJob, getSpendingToday, listSpending } from "@pipeline/db";
import { readJob } from "@pipeline/db/testing";
import { createLocalEmbedder } from "@pipeline/embedding";
import { CREDITS_PER_PAGE, USD_PER_CREDIT } from "@pipeline/llamaparse";
import { createLogger } from "@pipeline/runtime";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { makeDue, policyOf, readCodes, workThrough } from "../../worker.fixture.ts";
import { finishJob, forgetFaults, type LlamaParseBench, openLlamaParseBench } from "./llamaparse.fixture.ts";
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
const openWorker = (usdPerDay?: number) =>
  bench.openWorker({}, { embedder: createLocalEmbedder(), options: { concurrency: 1, budgets: { usdPerDay } } });

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
