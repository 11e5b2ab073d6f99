import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, expect, it, test } from "vitest";
import { z } from "zod";
import {
  type CallGrant,
  type CallSettlement,
  findProviderPause,
  listProviderLimits,
  type ProviderRates,
  reserveProviderCall,
  settleProviderCall,
} from "./provider-limits.ts";
import { one } from "./queryable.ts";
import { hasParallelConnections, openTestDatabase, type TestDatabase } from "./testing/index.ts";

let opened: TestDatabase;
beforeAll(async () => {
  opened = await openTestDatabase();
});
afterAll(() => opened.close());
beforeEach(async () => {
  await opened.database.run("delete from upload_pipeline.provider_limits");
});

const KEY = { provider: "openai", model: "text-embedding-3-small" };
/** Rates in the tests are so slow that the time which a test takes does not matter. */
const WIDE: ProviderRates = {
  requestsPerMinute: 60_000,
  tokensPerMinute: 60_000_000,
  maxInFlight: 100,
  burstSeconds: 10,
};

function reserve(
  rates: Partial<ProviderRates>,
  {
    tokens = 1,
    maxWaitMs = 0,
    lease_id = randomUUID(),
  }: { tokens?: number; maxWaitMs?: number; lease_id?: string } = {},
): Promise<CallGrant> {
  const order = { ...KEY, lease_id, leaseMs: 60_000, tokens, maxWaitMs, rates: { ...WIDE, ...rates } };
  return reserveProviderCall(opened.database, order);
}

function settle(settlement: Partial<CallSettlement> = {}): Promise<number> {
  const plain = { lease_id: randomUUID(), outcome: "answered" as const, unusedTokens: 0, hints: {} };
  return settleProviderCall(opened.database, { ...KEY, ...plain, ...settlement });
}

/** As if so much time had passed. */
async function pass(seconds: number): Promise<void> {
  await opened.database.run(
    `update upload_pipeline.provider_limits
     set refilled_at = refilled_at - $1::float8 * interval '1 s', paused_until = paused_until - $1::float8 * interval '1 s'`,
    [seconds],
  );
}

test("after a burst requests are granted as fast as the rate allows, whoever asks", async () => {
  const rates = { requestsPerMinute: 0.6, burstSeconds: 200 };
  expect(await reserve(rates)).toMatchObject({ is_granted: true, wait_ms: 0 });
  expect(await reserve(rates)).toMatchObject({ is_granted: true, wait_ms: 0 });
  const refused = await reserve(rates);
  expect(refused).toMatchObject({ is_granted: false, is_full: false });
  expect(refused.wait_ms).toBeGreaterThan(0);
  expect(refused.wait_ms).toBeLessThanOrEqual(100_000);
  await pass(100);
  expect(await reserve(rates)).toMatchObject({ is_granted: true });
  expect(await reserve(rates)).toMatchObject({ is_granted: false });
});

test("however long nobody asks, no more than a burst gathers", async () => {
  const rates = { requestsPerMinute: 0.6, burstSeconds: 200 };
  await reserve(rates);
  await pass(3_600);
  const grants = [await reserve(rates), await reserve(rates), await reserve(rates)];
  expect(grants.map((grant) => grant.is_granted)).toEqual([true, true, false]);
});

test("whoever is ready to wait is told when its turn is, one after the other", async () => {
  const rates = { requestsPerMinute: 0.06, burstSeconds: 1 };
  const waits: number[] = [];
  for (let request = 0; request < 3; request += 1) {
    const { is_granted, wait_ms } = await reserve(rates, { maxWaitMs: 6_000_000 });
    expect(is_granted).toBe(true);
    waits.push(Math.ceil(wait_ms / 1_000_000));
  }
  expect(waits).toEqual([0, 1, 2]);
  expect(await reserve(rates, { maxWaitMs: 1_000_000 })).toMatchObject({ is_granted: false });
});

test("a large request waits no longer than a small one, and those after it wait until it is paid off", async () => {
  const rates = { tokensPerMinute: 60, burstSeconds: 100 };
  expect(await reserve(rates, { tokens: 1_100 })).toMatchObject({ is_granted: true, wait_ms: 0 });
  const { is_granted, wait_ms } = await reserve(rates, { tokens: 1 });
  expect([is_granted, Math.ceil(wait_ms / 100_000)]).toEqual([false, 10]);
  await pass(1_000);
  expect(await reserve(rates, { tokens: 1_000 })).toMatchObject({ is_granted: true });
});

test("tokens that were not needed are given back, once", async () => {
  const rates = { tokensPerMinute: 60, burstSeconds: 100 };
  const lease_id = randomUUID();
  await reserve(rates, { tokens: 1_100, lease_id });
  await settle({ lease_id, unusedTokens: 500 });
  await settle({ lease_id, unusedTokens: 500 });
  const { wait_ms } = await reserve(rates);
  expect(Math.ceil(wait_ms / 100_000)).toBe(5);
});

test("no more requests are under way than may be, until one ends or its worker is taken for dead", async () => {
  const rates = { maxInFlight: 2 };
  const lease_id = randomUUID();
  await reserve(rates, { lease_id });
  await reserve(rates);
  expect(await reserve(rates, { maxWaitMs: 60_000 })).toMatchObject({ is_granted: false, is_full: true });
  await settle({ lease_id });
  expect(await reserve(rates)).toMatchObject({ is_granted: true });
  expect(await reserve(rates)).toMatchObject({ is_full: true });
  await opened.database.run(
    `update upload_pipeline.provider_limits set leases =
       (select jsonb_object_agg(key, value::float8 - 61) from jsonb_each(leases))`,
  );
  expect(await listProviderLimits(opened.database)).toMatchObject([{ ...KEY, in_flight_count: 0 }]);
  expect(await reserve(rates)).toMatchObject({ is_granted: true });
  expect(await listProviderLimits(opened.database)).toMatchObject([{ in_flight_count: 1 }]);
});

test("what the provider says that it allows counts where it is less, and a limit of zero is no limit", async () => {
  await reserve({});
  await settle({ hints: { limitRequests: 0.06, limitTokens: 0 } });
  expect(await listProviderLimits(opened.database)).toMatchObject([
    { told_requests_per_minute: 0.06, told_tokens_per_minute: null },
  ]);
  expect(await reserve({})).toMatchObject({ is_granted: true });
  const { is_granted, wait_ms } = await reserve({});
  expect([is_granted, Math.ceil(wait_ms / 100_000)]).toEqual([false, 10]);
});

test("what the provider says is left is what all have, whoever used the rest", async () => {
  const rates = { tokensPerMinute: 60 };
  await reserve(rates);
  await settle({ hints: { limitTokens: 60, remainingTokens: 0 } });
  await reserve(rates, { tokens: 1_000, maxWaitMs: 1_000 });
  expect(await reserve(rates)).toMatchObject({ is_granted: false });
  await pass(1_001);
  expect(await reserve(rates)).toMatchObject({ is_granted: true });
});

test("a refusal pauses everybody for as long as the provider asks, and longer each time", async () => {
  await reserve({});
  expect(await findProviderPause(opened.database, KEY)).toBe(0);
  const asked = await settle({ outcome: "refused", retryAfterMs: 2_000_000 });
  expect(Math.ceil(asked / 1_000_000)).toBe(2);
  expect(Math.ceil((await findProviderPause(opened.database, KEY)) / 1_000_000)).toBe(2);
  const { is_granted, wait_ms } = await reserve({});
  expect([is_granted, Math.ceil(wait_ms / 1_000_000)]).toEqual([false, 2]);
  await pass(2_001);
  const pauses: number[] = [];
  for (let refusal = 0; refusal < 3; refusal += 1) {
    pauses.push(Math.ceil((await settle({ outcome: "refused" })) / 250));
    await pass(30);
  }
  expect(pauses).toEqual([2, 4, 8]);
  await settle();
  expect(Math.ceil((await settle({ outcome: "refused" })) / 250)).toBe(1);
});

it.skipIf(!hasParallelConnections())("many that ask at once get no more than there is: needs connections", async () => {
  const rates = { requestsPerMinute: 0.6, burstSeconds: 500, maxInFlight: 4 };
  const order = { ...KEY, leaseMs: 60_000, tokens: 1, maxWaitMs: 0, rates: { ...WIDE, ...rates } };
  const others = [opened.database, opened.openAnother(), opened.openAnother()];
  const grants = await Promise.all(
    Array.from({ length: 30 }, (_, index) =>
      reserveProviderCall(others[index % 3] ?? opened.database, { ...order, lease_id: randomUUID() }),
    ),
  );
  expect(grants.filter((grant) => grant.is_granted)).toHaveLength(4);
  const { count } = await one(
    opened.database,
    z.object({ count: z.number() }),
    "select count(*) from upload_pipeline.provider_limits, jsonb_object_keys(leases)",
  );
  expect(count).toBe(4);
});
