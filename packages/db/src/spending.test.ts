import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, expect, it, test } from "vitest";
import { z } from "zod";
import { getSpendingToday, listSpending } from "./spending-report.ts";
import {
  type BudgetAnswer,
  type PaidWork,
  recordLostSpend,
  recordSpend,
  releaseBudget,
  reserveBudget,
} from "./spending.ts";
import { hasParallelConnections, openTestDatabase, type TestDatabase } from "./testing/index.ts";

let opened: TestDatabase;
beforeAll(async () => {
  opened = await openTestDatabase();
});
afterAll(() => opened.close());
beforeEach(async () => {
  for (const table of ["spending", "spending_days", "spending_reservations"]) {
    await opened.database.run(`delete from upload_pipeline.${table}`);
  }
});

const MODEL = { provider: "openai", model: "text-embedding-3-small" };

function workOf(work: Partial<PaidWork> = {}): PaidWork {
  const named = { user_id: randomUUID(), reservation_id: randomUUID() };
  return { ...MODEL, ...named, cost_usd: 0.25, budgets: {}, ...work };
}

const reserve = (work: Partial<PaidWork> = {}): Promise<BudgetAnswer> => reserveBudget(opened.database, workOf(work));

const said = async (usdPerDay: number) => (await reserve({ budgets: { usdPerDay } })).warnings;

const total = (user_id?: string) => getSpendingToday(opened.database, user_id);

/** As if what there is had been yesterday. */
async function passDay(): Promise<void> {
  for (const table of ["spending", "spending_days", "spending_reservations"]) {
    await opened.database.run(`update upload_pipeline.${table} set day = day - 1`);
  }
}

test("what is paid is told by day, provider, model and user", async () => {
  const user_id = randomUUID();
  for (const tokens of [100, 150]) {
    const work = workOf({ user_id });
    expect(await reserveBudget(opened.database, work)).toMatchObject({ is_reserved: true, exhausted: [] });
    expect(await total()).toMatchObject({ reserved_usd: 0.25 });
    const { reservation_id } = work;
    await opened.database.transaction((tx) => recordSpend(tx, { reservation_id, cost_usd: 2e-8 * tokens, tokens }));
  }
  const parsing = workOf({ user_id, provider: "llamaparse", model: "fast" });
  await reserveBudget(opened.database, parsing);
  await recordSpend(opened.database, { reservation_id: parsing.reservation_id, cost_usd: 0.5, pages: 12 });
  const spending = await listSpending(opened.database, { days: 1, user_id });
  expect(spending).toMatchObject([
    { provider: "llamaparse", model: "fast", request_count: 1, page_count: 12, cost_usd: 0.5 },
    { ...MODEL, user_count: 1, request_count: 2, token_count: 250, page_count: 0, cost_usd: 0.000005 },
  ]);
  expect(await listSpending(opened.database, { days: 1, user_id: randomUUID() })).toEqual([]);
  for (const sum of [await total(), await total(user_id)]) {
    expect(sum).toMatchObject({ spent_usd: 0.500005, reserved_usd: 0 });
  }
});

test("neither asking nor recording again counts twice", async () => {
  const work = workOf();
  const { reservation_id } = work;
  await reserveBudget(opened.database, work);
  expect(await reserveBudget(opened.database, work)).toMatchObject({ is_reserved: true });
  expect(await total()).toMatchObject({ reserved_usd: 0.25 });
  expect(await recordSpend(opened.database, { reservation_id, cost_usd: 0.1 })).toBe(true);
  expect(await recordSpend(opened.database, { reservation_id, cost_usd: 0.1 })).toBe(false);
  expect(await recordLostSpend(opened.database, reservation_id)).toBe(false);
  expect(await releaseBudget(opened.database, reservation_id)).toBe(false);
  expect(await total()).toMatchObject({ spent_usd: 0.1, reserved_usd: 0 });
});

test("what was rolled back was not paid for", async () => {
  const { reservation_id, ...work } = workOf();
  await reserve({ ...work, reservation_id });
  const failing = opened.database.transaction(async (tx) => {
    await recordSpend(tx, { reservation_id, cost_usd: 0.1 });
    throw new Error("not stored");
  });
  await expect(failing).rejects.toThrow("not stored");
  expect(await total()).toMatchObject({ spent_usd: 0, reserved_usd: 0.25 });
});

test("what was lost counts as expected, and what was refused not at all", async () => {
  const [lost, refused] = [workOf(), workOf()];
  await reserveBudget(opened.database, lost);
  await reserveBudget(opened.database, refused);
  await recordLostSpend(opened.database, lost.reservation_id);
  await releaseBudget(opened.database, refused.reservation_id);
  expect(await total()).toMatchObject({ spent_usd: 0.25, reserved_usd: 0 });
  expect(await listSpending(opened.database, { days: 1 })).toMatchObject([
    { request_count: 0, cost_usd: 0, lost_request_count: 1, lost_usd: 0.25 },
  ]);
});

test("a budget has room for what is under way too, and for more once it is raised or the day is over", async () => {
  const budgets = { usdPerDay: 0.6 };
  await reserve({ budgets });
  await reserve({ budgets });
  const refused = await reserve({ budgets });
  expect(refused).toMatchObject({
    is_reserved: false,
    exhausted: [{ scope: "everybody", budget_usd: 0.6, used_usd: 0.5 }],
  });
  expect(refused.day_ends_ms).toBeGreaterThan(0);
  expect(refused.day_ends_ms).toBeLessThanOrEqual(86_400_000);
  expect(await total()).toMatchObject({ reserved_usd: 0.5 });
  expect(await reserve({ budgets: { usdPerDay: 0.75 } })).toMatchObject({ is_reserved: true });
  await passDay();
  expect(await reserve({ budgets })).toMatchObject({ is_reserved: true });
});

test("one user's budget holds back that user alone", async () => {
  const budgets = { usdPerUserPerDay: 0.3, usdPerDay: 10 };
  const user_id = randomUUID();
  await reserve({ user_id, budgets });
  expect(await reserve({ user_id, budgets })).toMatchObject({
    is_reserved: false,
    exhausted: [{ scope: "user", budget_usd: 0.3, used_usd: 0.25 }],
  });
  expect(await reserve({ budgets })).toMatchObject({ is_reserved: true });
});

test("work that was begun before midnight counts to the day that it was reserved on", async () => {
  const work = workOf();
  await reserveBudget(opened.database, work);
  await passDay();
  await recordSpend(opened.database, { reservation_id: work.reservation_id, cost_usd: 0.2 });
  expect(await total()).toMatchObject({ spent_usd: 0 });
  const [row] = await listSpending(opened.database, { days: 2 });
  expect(row).toMatchObject({ cost_usd: 0.2 });
});

test("that most of a budget is gone is said once, and once more when it was raised", async () => {
  expect(await said(1.25)).toEqual([]);
  expect(await said(1.25)).toEqual([]);
  expect(await said(1.25)).toEqual([]);
  expect(await said(1.25)).toEqual([{ scope: "everybody", budget_usd: 1.25, used_usd: 1 }]);
  expect(await said(1.25)).toEqual([]);
  expect(await total()).toMatchObject({ warned_budget_usd: 1.25 });
  expect(await said(1.75)).toEqual([{ scope: "everybody", budget_usd: 1.75, used_usd: 1.5 }]);
});

test("reservations that nobody closed for a week are forgotten with the first work of a day", async () => {
  await reserve();
  await passDay();
  await opened.database.run(
    "update upload_pipeline.spending_reservations set created_at = created_at - interval '8 days'",
  );
  const kept = workOf();
  await reserveBudget(opened.database, kept);
  const rows = await opened.database.many(
    z.object({ reservation_id: z.string() }),
    "select reservation_id from upload_pipeline.spending_reservations",
  );
  expect(rows).toEqual([{ reservation_id: kept.reservation_id }]);
});

it.skipIf(!hasParallelConnections())("a budget holds when many ask and record at once: needs connections", async () => {
  const budgets = { usdPerDay: 1, usdPerUserPerDay: 0.5 };
  const users = Array.from({ length: 4 }, () => randomUUID());
  const work = Array.from({ length: 40 }, (_, index) => workOf({ user_id: users[index % 4] ?? "", budgets }));
  const done = await Promise.all(
    work.map(async (each) => {
      const { is_reserved } = await reserveBudget(opened.database, each);
      const { reservation_id } = each;
      if (is_reserved) await opened.database.transaction((tx) => recordSpend(tx, { reservation_id, cost_usd: 0.25 }));
      return is_reserved;
    }),
  );
  expect(done.filter(Boolean)).toHaveLength(4);
  expect(await total()).toMatchObject({ spent_usd: 1, reserved_usd: 0 });
  const rows = await listSpending(opened.database, { days: 1 });
  expect(rows.reduce((sum, row) => sum + row.cost_usd, 0)).toBe(1);
});
