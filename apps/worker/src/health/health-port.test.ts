import { createMonitoring } from "@pipeline/composition";
import type { Database } from "@pipeline/db";
import { createWorkerMetrics } from "@pipeline/metrics";
import { createLogger, parseEnvironment } from "@pipeline/runtime";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { endWhenDead } from "../end-when-dead.ts";
import { CANNOT_CLAIM_MS, findDeadly, LOOP_DEAD_MS, NO_HEARTBEAT_MS, NOT_READY_MS } from "../vitals.ts";
import { expireSessions, openWorkerBench, type WorkerBench, workThrough } from "../worker.fixture.ts";
import type { Worker } from "../worker.ts";
import { createReport } from "./report-health.ts";
import { startHealthServer } from "./start-health-server.ts";

let bench: WorkerBench;
let now = 0;
const closers: (() => Promise<void>)[] = [];
beforeAll(async () => {
  bench = await openWorkerBench();
});
afterAll(() => bench.close());
afterEach(async () => {
  for (const close of closers.splice(0)) await close();
  await bench.clear();
});

const log = createLogger({ level: "silent", service: "worker" });
const TOKEN = "a token for metrics, long enough".replaceAll(" ", "-");

/** A worker that is ticked by hand, on a clock that is moved by hand, with its port. */
async function openPort(overrides: Parameters<WorkerBench["openWorker"]>[0] = {}, metricsToken?: string) {
  now = 0;
  const environment = parseEnvironment({ ENVIRONMENT: "test" }, "local");
  const { database } = bench;
  const parts = { environment, database, service: "worker", build: "test build", embedModel: "m", log } as const;
  const monitoring = await createMonitoring(parts);
  const metrics = createWorkerMetrics(monitoring.registry);
  const worker = bench.openWorker({ ...overrides, metrics, clock: () => now });
  const readVitals = () => worker.vitals();
  const server = await startHealthServer({
    host: "127.0.0.1",
    port: 0,
    findDeadly: () => findDeadly(worker.vitals()),
    report: createReport({ database, watch: monitoring.watch, readVitals, build: "test build", timeoutMs: 30_000 }),
    readMetrics: async () => ({ contentType: "text/plain", text: await monitoring.registry.metrics() }),
    metricsToken,
    log,
  });
  closers.push(() => server.close());
  const get = async (path: string, headers: Record<string, string> = {}): Promise<{ status: number; body: string }> => {
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`, { headers });
    return { status: response.status, body: await response.text() };
  };
  const status = async (path: string): Promise<number> => (await get(path)).status;
  return { worker, monitoring, get, status };
}

const failing = (): Promise<never> => Promise.reject(new Error("away"));

/** The worker's database, which can be taken away. */
function lossy(): { database: Database; setAway: (isAway: boolean) => void } {
  let isAway = false;
  const { database } = bench;
  return {
    setAway: (away) => {
      isAway = away;
    },
    database: {
      ...database,
      many: (...statement) => (isAway ? failing() : database.many(...statement)),
      run: (...statement) => (isAway ? failing() : database.run(...statement)),
      transaction: (work) => (isAway ? failing() : database.transaction(work)),
    },
  };
}

const round = async (worker: Worker): Promise<void> => {
  await worker.tick().catch(() => 0);
  await worker.beat().catch(() => undefined);
};

test("a worker is ready once it has looked at the queue, and says what runs and how it is", async () => {
  const { worker, monitoring, get, status } = await openPort();
  expect([await status("/health/live"), await status("/health/ready")]).toEqual([200, 503]);
  await round(worker);
  await monitoring.watch.tick();
  expect([await status("/health/live"), await status("/health/ready")]).toEqual([200, 200]);
  const { body } = await get("/health");
  expect(JSON.parse(body)).toMatchObject({
    status: "healthy",
    environment: "test",
    build: "test build",
    fingerprint: expect.stringMatching(/^[0-9a-f]{12}$/),
    vitals: { has_session: true, job_count: 0 },
    failing: [],
  });
});

test("a loop that hangs is dead, one that goes round is not", async () => {
  const { worker, get, status } = await openPort();
  await round(worker);
  now += LOOP_DEAD_MS;
  expect(await status("/health/live")).toBe(200);
  now += 1;
  expect(await get("/health/live")).toMatchObject({ status: 503, body: expect.stringContaining("loop_dead") });
  await round(worker);
  expect(await status("/health/live")).toBe(200);
});

test("without its database a worker is soon not ready, and dead when that lasts", async () => {
  const { database, setAway } = lossy();
  const { worker, get, status } = await openPort({ database });
  await round(worker);
  setAway(true);
  now += 30_000;
  await round(worker);
  expect([await status("/health/live"), await status("/health/ready")]).toEqual([200, 503]);
  now += Math.max(CANNOT_CLAIM_MS, NO_HEARTBEAT_MS);
  await round(worker);
  const { status: dead, body } = await get("/health/live");
  expect(dead).toBe(503);
  expect(body).toContain("cannot_claim");
  expect(body).toContain("no_heartbeat");
  setAway(false);
  await round(worker);
  expect([await status("/health/live"), await status("/health/ready")]).toEqual([200, 200]);
});

/** Takes the function that claims away, or gives it back. */
async function setClaimable(isClaimable: boolean): Promise<void> {
  const [from, to] = isClaimable ? ["claim_jobs_away", "claim_jobs"] : ["claim_jobs", "claim_jobs_away"];
  const { database } = bench;
  const signature = "(uuid, integer, jsonb, bigint, integer)";
  await database.run(`alter function ${database.schema}.${from}${signature} rename to ${to}`);
}

const countSessions = (where: string): Promise<number> =>
  bench.database.run(`update ${bench.database.schema}.worker_sessions set pid = pid where ${where}`);

test("a worker that cannot claim looks alive to nobody, adds no sessions, and ends itself", async () => {
  const { worker, get, status } = await openPort();
  await setClaimable(false);
  for (let count = 0; count < 3; count += 1) await round(worker);
  expect(await countSessions("true")).toBe(0);
  expect(await get("/health/ready")).toMatchObject({ status: 503, body: expect.stringContaining("not_started") });

  await setClaimable(true);
  await round(worker);
  expect([await countSessions("ended_at is null"), await status("/health/ready")]).toEqual([1, 200]);

  await setClaimable(false);
  for (let count = 0; count < 3; count += 1) await round(worker);
  expect([await countSessions("ended_at is null"), await countSessions("true")]).toEqual([0, 1]);
  now += CANNOT_CLAIM_MS + 1;
  await round(worker);
  await setClaimable(true);
  const ended = Promise.withResolvers<void>();
  const stopLooking = endWhenDead({ readVitals: () => worker.vitals(), log, exit: ended.resolve, everyMs: 1 });
  await ended.promise;
  stopLooking();
  expect(await get("/health/live")).toMatchObject({ status: 503, body: expect.stringContaining("cannot_claim") });
});

test("a worker whose rounds fail before they claim does not go on looking alive", async () => {
  const { database, setAway } = lossy();
  const { worker } = await openPort({ database });
  await round(worker);
  setAway(true);
  await worker.tick().catch(() => 0);
  expect(worker.vitals().has_session).toBe(true);
  now += NOT_READY_MS + 1;
  await worker.tick().catch(() => 0);
  setAway(false);
  await worker.beat();
  expect(await countSessions("ended_at is null")).toBe(0);
});

test("a worker that lost its session is not ready until the next round has renewed it", async () => {
  const { worker, get, status } = await openPort();
  await round(worker);
  await expireSessions(bench.database);
  await worker.beat();
  expect(await status("/health/live")).toBe(200);
  expect(await get("/health/ready")).toMatchObject({ status: 503, body: expect.stringContaining("no_session") });
  await round(worker);
  expect(await status("/health/ready")).toBe(200);
});

test("a schema of another version makes a running worker not ready, and it works on", async () => {
  const { worker, get, status } = await openPort();
  await round(worker);
  const { schema } = bench.database;
  await bench.database.run(
    `insert into ${schema}.schema_migrations (version, name, checksum) values (9999, 'later', 'x')`,
  );
  const ready = await get("/health/ready");
  const live = await status("/health/live");
  await bench.database.run(`delete from ${schema}.schema_migrations where version = 9999`);
  expect(live).toBe(200);
  expect(ready).toMatchObject({ status: 503, body: expect.stringContaining("schema_newer") });
  expect(ready.body).toContain("deploy newer code");
});

test("what the worker does is counted, without an id of anything", async () => {
  const { worker, get } = await openPort();
  await bench.submit("# Policy\n\nWater damage is covered up to 10,000 dollars.\n");
  await bench.submit("other bytes than promised", { bytes_len: 3 });
  await workThrough(worker);
  await worker.beat();
  const { body: labelled } = await get("/metrics");
  const samplesOf = labelled.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  const deployment = `environment="test",schema="${bench.database.schemaName}"`;
  expect(samplesOf.filter((line) => !line.includes(deployment))).toEqual([]);
  const body = labelled
    .replaceAll(new RegExp(`,?${deployment}`, "g"), "")
    .replaceAll("{,", "{")
    .replaceAll("{}", "");
  for (const line of [
    "pipeline_claims_total 2",
    'pipeline_claim_ends_total{outcome="completed"} 1',
    'pipeline_claim_ends_total{outcome="dead_lettered"} 1',
    'pipeline_stage_failures_total{stage="verify",code="length_mismatch"} 1',
    'pipeline_stage_duration_seconds_count{stage="publish",outcome="advance"} 1',
    'pipeline_stage_duration_seconds_count{stage="verify",outcome="fail"} 1',
    'pipeline_worker_heartbeats_total{outcome="ok"} 1',
    "pipeline_worker_jobs_in_hand 0",
    "pipeline_database_up 1",
    'pipeline_queue_jobs{state="deadletter"} 1',
  ]) {
    expect(body.split("\n")).toContain(line);
  }
  const samples = body.split("\n").filter((line) => line.startsWith("pipeline_"));
  expect(samples.length).toBeGreaterThan(50);
  expect(samples.filter((line) => /[0-9a-f]{8}-[0-9a-f]{4}-/.test(line))).toEqual([]);
});

test("metrics ask for the token where there is one, and other addresses do not exist", async () => {
  const { get, status } = await openPort({}, TOKEN);
  expect(await status("/metrics")).toBe(401);
  expect((await get("/metrics", { authorization: "Bearer wrong" })).status).toBe(401);
  expect((await get("/metrics", { authorization: `Bearer ${TOKEN}` })).status).toBe(200);
  expect(await status("/")).toBe(404);
});
