import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, expect, it, test } from "vitest";
import {
  closeCircuit,
  enterCircuit,
  listCircuits,
  listProviderOutages,
  type ProviderFault,
  recordProviderFault,
  releaseProbe,
} from "./circuit.ts";
import { hasParallelConnections, openTestDatabase, type TestDatabase } from "./testing/index.ts";

let opened: TestDatabase;
beforeAll(async () => {
  opened = await openTestDatabase();
});
afterAll(() => opened.close());
beforeEach(async () => {
  await opened.database.run("delete from upload_pipeline.provider_circuits");
});

const provider = "openai";

const enter = (probe_id: string = randomUUID()) =>
  enterCircuit(opened.database, { provider, probe_id, probeMs: 60_000 });

const fail = (fault: Partial<ProviderFault> = {}) =>
  recordProviderFault(opened.database, {
    provider,
    probe_id: undefined,
    threshold: 3,
    openMs: 30_000,
    longestOpenMs: 100_000,
    retryAfterMs: undefined,
    code: "provider_circuit_open",
    message: "It failed.",
    ...fault,
  });

const close = (probe_id?: string) => closeCircuit(opened.database, { provider, probe_id });

const outages = () => listProviderOutages(opened.database);

/** As if so much time had passed. */
async function pass(seconds: number): Promise<void> {
  await opened.database.run(
    `update upload_pipeline.provider_circuits
     set open_until = open_until - $1::float8 * interval '1 s', probe_until = probe_until - $1::float8 * interval '1 s'`,
    [seconds],
  );
}

async function openAndWait(): Promise<void> {
  await fail({ threshold: 1 });
  await pass(31);
}

test("a provider that never had a fault may be asked", async () => {
  expect(await enter()).toMatchObject({ state: "closed", failure_count: 0 });
  expect(await close()).toBe(false);
  expect(await listCircuits(opened.database)).toEqual([]);
});

test("faults in a row open the circuit for everybody", async () => {
  expect(await fail()).toMatchObject({ is_open: false, has_opened: false });
  expect(await fail()).toMatchObject({ is_open: false });
  expect(await enter()).toMatchObject({ state: "closed", failure_count: 2 });
  const opening = await fail();
  expect(opening).toMatchObject({ is_open: true, has_opened: true });
  const entry = await enter();
  expect(entry).toMatchObject({ state: "open", code: "provider_circuit_open", message: "It failed." });
  expect(Math.ceil(entry.wait_ms / 10_000)).toBe(3);
  expect(await listCircuits(opened.database)).toMatchObject([{ provider, failure_count: 3 }]);
});

test("a success between them starts the count anew", async () => {
  await fail();
  await fail();
  await close();
  await fail();
  expect(await fail()).toMatchObject({ is_open: false });
});

test("what is wrong with the account opens it at once, for as long as the provider asks", async () => {
  await fail({ threshold: 1, code: "embedding_quota_exhausted", retryAfterMs: 45_000 });
  const entry = await enter();
  expect(entry).toMatchObject({ state: "open", code: "embedding_quota_exhausted" });
  expect(Math.ceil(entry.wait_ms / 10_000)).toBe(5);
});

test("once its time has passed one request is the probe, and its success closes the circuit", async () => {
  await openAndWait();
  const probe = randomUUID();
  expect(await enter(probe)).toMatchObject({ state: "probe" });
  expect(await enter()).toMatchObject({ state: "open", wait_ms: 0 });
  expect(await enter(probe)).toMatchObject({ state: "probe" });
  expect(await close(probe)).toBe(true);
  expect(await enter()).toMatchObject({ state: "closed", failure_count: 0 });
});

test("a probe that fails keeps it open, for twice as long each time up to the longest", async () => {
  await openAndWait();
  const waits: number[] = [];
  for (let probes = 0; probes < 3; probes += 1) {
    const probe_id = randomUUID();
    await enter(probe_id);
    const { wait_ms, has_opened } = await fail({ probe_id });
    expect(has_opened).toBe(true);
    waits.push(Math.ceil(wait_ms / 1_000));
    await pass(101);
  }
  expect(waits).toEqual([60, 100, 100]);
});

test("requests from before it opened neither close it nor keep it open", async () => {
  await fail({ threshold: 1 });
  expect(await close()).toBe(false);
  expect(await close(randomUUID())).toBe(false);
  const late = await fail({ threshold: 1, openMs: 90_000 });
  expect(late).toMatchObject({ is_open: true, has_opened: false });
  expect(Math.ceil(late.wait_ms / 10_000)).toBe(3);
  expect(await enter()).toMatchObject({ state: "open", failure_count: 1 });
});

test("a probe that comes to no verdict, or whose worker died, leaves it to another", async () => {
  await openAndWait();
  const first = randomUUID();
  await enter(first);
  await releaseProbe(opened.database, { provider, probe_id: first });
  expect(await enter()).toMatchObject({ state: "probe" });
  expect(await enter()).toMatchObject({ state: "open" });
  await pass(61);
  expect(await enter()).toMatchObject({ state: "probe" });
});

it.skipIf(!hasParallelConnections())("of many that ask at once one is the probe: needs connections", async () => {
  await openAndWait();
  const entries = await Promise.all(Array.from({ length: 20 }, () => enter()));
  expect(entries.filter((entry) => entry.state === "probe")).toHaveLength(1);
});

test("an open circuit is an outage until its probe has closed it, or nobody has probed for an hour", async () => {
  await fail();
  expect(await outages()).toEqual([]);
  await openAndWait();
  const outage = { provider, code: "provider_circuit_open", message: "It failed.", opened_at: expect.any(Date) };
  expect(await outages()).toEqual([{ ...outage, seconds: expect.any(Number) }]);
  await pass(3_500);
  expect(await outages()).toHaveLength(1);
  await pass(101);
  expect(await outages()).toEqual([]);

  const probe_id = randomUUID();
  await enter(probe_id);
  await fail({ probe_id });
  expect(await outages()).toMatchObject([outage]);
  await pass(200);
  const next = randomUUID();
  await enter(next);
  await close(next);
  expect(await outages()).toEqual([]);
});
