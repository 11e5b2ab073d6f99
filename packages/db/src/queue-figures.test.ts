import { randomUUID } from "node:crypto";
import { AppError } from "@pipeline/runtime";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { z } from "zod";
import type { Database } from "./database.ts";
import type { State } from "./pipeline.ts";
import { COUNTED_STATES, getQueueFigures, listSpentToday } from "./queue-figures.ts";
import { releaseJob } from "./checkpoints.ts";
import { deferJob } from "./defer-job.ts";
import { queueParked } from "./provider-jobs.ts";
import { promoteDueJobs, rescueJobs } from "./queue.ts";
import { redriveJobs, retryJob } from "./redrive.ts";
import { endSession, openSession } from "./sessions.ts";
import { captureStatement } from "./testing/explain.ts";
import { claimOne, createQueuedJob, createSession, createUpload } from "./testing/factories.ts";
import { insertJobInState, queueInBulk } from "./testing/raw-jobs.ts";
import { openTestDatabase, type TestDatabase } from "./testing/test-database.ts";
import { confirmUpload, renewUpload } from "./uploads.ts";

const planRow = z.object({ "QUERY PLAN": z.array(z.unknown()) });

let test_database: TestDatabase;
let database: Database;
beforeAll(async () => {
  test_database = await openTestDatabase();
  database = test_database.database;
});
afterAll(() => test_database.close());
beforeEach(async () => {
  for (const table of ["documents", "worker_sessions", "session_claims", "provider_jobs", "spending"]) {
    await database.run(`delete from ${database.schema}.${table}`);
  }
});

/** Changes a row that may be at its end, which the guard would refuse. */
async function set(jobId: string, change: string): Promise<void> {
  const jobs = `${database.schema}.upload_jobs`;
  await database.transaction(async (tx) => {
    await tx.run(`alter table ${jobs} disable trigger upload_jobs_guard`);
    await tx.run(`update ${jobs} set ${change} where job_id = $1`, [jobId]);
    await tx.run(`alter table ${jobs} enable trigger upload_jobs_guard`);
  });
}

test("an empty queue has no jobs, no ages and no workers", async () => {
  expect(await getQueueFigures(database)).toEqual({
    queued_count: 0,
    working_count: 0,
    waiting_count: 0,
    retryable_count: 0,
    deadletter_count: 0,
    queued_seconds: null,
    working_seconds: null,
    waiting_seconds: null,
    retryable_seconds: null,
    deadletter_seconds: null,
    processing_seconds: null,
    set_aside_seconds: null,
    recent_deadletter_count: 0,
    live_worker_count: 0,
    heartbeat_seconds: null,
    is_paused: false,
  });
});

test("jobs are counted by state, each with the age of the oldest", async () => {
  const seconds = { queued: 3_600, working: 50, waiting: 20, retryable: 30, deadletter: 40 };
  for (const state of COUNTED_STATES) {
    const old = await insertJobInState(database, { state, status: "parsing" });
    const since = state === "queued" ? "updated_at" : "created_at";
    await set(old, `${since} = now() - interval '${seconds[state]} s'`);
    await insertJobInState(database, { state, status: "parsing" });
  }
  await insertJobInState(database, { state: "done", status: "complete" });
  const figures = await getQueueFigures(database);
  for (const state of COUNTED_STATES) {
    expect(figures[`${state}_count`]).toBe(2);
    expect(figures[`${state}_seconds`]).toBeGreaterThanOrEqual(seconds[state]);
    expect(figures[`${state}_seconds`]).toBeLessThan(seconds[state] + 1_000);
  }
  expect(figures.recent_deadletter_count).toBe(2);
});

const WEEK = "created_at = created_at - interval '7 days', updated_at = updated_at - interval '7 days'";

async function insertOldJob(state: State, change = WEEK): Promise<string> {
  const jobId = await insertJobInState(database, { state, status: "parsing" });
  await set(jobId, change);
  return jobId;
}

/** Every way into the queue that a job of last week can take. */
const WAYS = {
  "its time has come": async () => {
    await insertOldJob("retryable");
    await promoteDueJobs(database);
  },
  "its file has arrived": async () => {
    const { job } = await createUpload(database);
    await set(job.job_id, WEEK);
    await confirmUpload(database, job);
  },
  "the parser has answered": async () => {
    const job_id = await insertOldJob("waiting", `${WEEK}, waiting_for = 'parser'`);
    await queueParked(database, { job_id });
  },
  "its worker gave it back": async () => {
    await createQueuedJob(database);
    const claim = await claimOne(database);
    await set(claim.job_id, WEEK);
    await releaseJob(database, claim);
  },
  "its worker is gone": async () => {
    const session = await createSession(database);
    await createQueuedJob(database);
    const { job_id } = await claimOne(database, session);
    await set(job_id, WEEK);
    await endSession(database, session);
    await rescueJobs(database, { maxCrashes: 3 });
  },
  "it was retried": async () => {
    const job_id = await insertOldJob("deadletter");
    await database.transaction((tx) => retryJob(tx, { job_id, correlation_id: "test" }));
  },
  "it was redriven": async () => {
    await insertOldJob("deadletter");
    await database.transaction((tx) => redriveJobs(tx, { filter: { limit: 1 }, correlation_id: "test" }));
  },
};

test.each(Object.entries(WAYS))("a job of last week waits for a worker since %s", async (_, queue) => {
  await queue();
  const { queued_count, queued_seconds } = await getQueueFigures(database);
  expect(queued_count).toBe(1);
  expect(queued_seconds).toBeLessThan(1_000);
});

test("a job that is queued waits no less for an upload that is promised again", async () => {
  const { job } = await createQueuedJob(database);
  await set(job.job_id, "updated_at = now() - interval '3000 s'");
  const renewal = { uploadSeconds: 60, correlation_id: "test" };
  expect(await database.transaction((tx) => renewUpload(tx, job, renewal))).toBeDefined();
  expect((await getQueueFigures(database)).queued_seconds).toBeGreaterThanOrEqual(3_000);
});

test("of the queued jobs that one counts which waits longest, first in line or not", async () => {
  const first = await insertJobInState(database, { state: "queued", status: "parsing" });
  await set(first, "updated_at = now() - interval '100 s'");
  const behind = await insertJobInState(database, { state: "queued", status: "parsing" });
  await set(behind, "updated_at = now() - interval '3000 s'");
  expect((await getQueueFigures(database)).queued_seconds).toBeGreaterThanOrEqual(3_000);
});

test("a job is set aside since the first look that found the same in its way, however often it looks again", async () => {
  await createQueuedJob(database);
  const stage = "parse";
  const error = new AppError({ kind: "transient", code: "budget_exhausted", message: "Tomorrow." });
  const claim = await claimOne(database);
  await deferJob(database, claim, { stage, error, delayMs: 0 });
  await database.run(`update ${database.schema}.events set created_at = now() - interval '2000 s'`);
  await promoteDueJobs(database);
  await deferJob(database, await claimOne(database), { stage, error, delayMs: 60_000 });
  expect((await getQueueFigures(database)).set_aside_seconds).toBeGreaterThanOrEqual(2_000);
  await set(claim.job_id, "due_at = now()");
  await promoteDueJobs(database);
  expect((await getQueueFigures(database)).set_aside_seconds).toBeNull();
});

test("dead letters are recent for a quarter of an hour", async () => {
  const job = await insertJobInState(database, { state: "deadletter", status: "parsing" });
  await set(job, "finished_at = now() - interval '16 min'");
  expect(await getQueueFigures(database)).toMatchObject({ deadletter_count: 1, recent_deadletter_count: 0 });
});

test("processing lasts since the last claim of a job in hand, and since a document was sent to the provider", async () => {
  const session = await createSession(database);
  await createQueuedJob(database);
  const claim = await claimOne(database, session);
  await database.run(`update ${database.schema}.session_claims set claimed_at = now() - interval '400 s'`);
  expect((await getQueueFigures(database)).processing_seconds).toBeGreaterThanOrEqual(400);

  // Given back and claimed again by the same worker: the older list is still there.
  const free = "state = 'queued', lease_session_id = null, lease_expires_at = null, fence = fence + 1";
  await set(claim.job_id, free);
  await claimOne(database, session);
  expect((await getQueueFigures(database)).processing_seconds).toBeLessThan(400);

  await database.run(
    `insert into ${database.schema}.provider_jobs (submission_id, job_id, provider, tier, version, webhook_secret, created_at)
     values ($1, $2, 'llamaparse', 'fast', 'latest', 'x', now() - interval '900 s')`,
    [randomUUID(), claim.job_id],
  );
  expect((await getQueueFigures(database)).processing_seconds).toBeGreaterThanOrEqual(900);
});

test.each([
  ["queued", true],
  ["working", true],
  ["waiting", true],
  ["retryable", true],
  ["deadletter", false],
  ["done", false],
  ["cancelled", false],
] as const)("a submission that was left open counts as processing for a %s job: %s", async (state, isCounted) => {
  const status = state === "done" ? "complete" : "parsing";
  const job = await insertJobInState(database, { state, status });
  await database.run(
    `insert into ${database.schema}.provider_jobs (submission_id, job_id, provider, tier, version, webhook_secret, created_at)
     values ($1, $2, 'llamaparse', 'fast', 'latest', 'x', now() - interval '900 s')`,
    [randomUUID(), job],
  );
  const seconds = (await getQueueFigures(database)).processing_seconds ?? 0;
  expect(seconds >= 900).toBe(isCounted);
});

test("a worker that missed its heartbeats is not alive, and it is known how long ago one was heard", async () => {
  await openSession(database, { worker_name: "w", hostname: "h", pid: 1, leaseMs: -1_000 });
  await database.run(`update ${database.schema}.worker_sessions set heartbeat_at = now() - interval '70 s'`);
  const figures = await getQueueFigures(database);
  expect(figures.live_worker_count).toBe(0);
  expect(figures.heartbeat_seconds).toBeGreaterThanOrEqual(70);
});

test("no look at the queue reads the table of jobs from its first row to its last", async () => {
  await queueInBulk(database, { user_id: randomUUID(), count: 2_000 });
  for (const state of COUNTED_STATES) await insertJobInState(database, { state, status: "parsing" });
  await database.run(`analyze ${database.schema}.upload_jobs`);
  const statement = await captureStatement(database.schema, async (probe) => {
    await getQueueFigures(probe).catch(() => undefined);
  });
  const [row] = await database.many(planRow, `explain (format json) ${statement.sql}`);
  const plan = JSON.stringify(row);
  expect(plan).toContain('"Relation Name":"upload_jobs"');
  expect(plan).not.toMatch(/"Node Type":"Seq Scan"[^{}]*"Relation Name":"upload_jobs"/);
});

test("spending of today is summed by provider, what may be billed included", async () => {
  await database.run(
    `insert into ${database.schema}.spending (day, user_id, provider, model, request_count, token_count, page_count,
       cost_usd, lost_request_count, lost_usd)
     select (now() at time zone 'utc')::date - ago, gen_random_uuid(), provider, 'm', 2, 100, 5, 0.25, 1, 0.5
     from (values (0, 'openai'), (0, 'openai'), (0, 'llamaparse'), (1, 'openai')) as rows (ago, provider)`,
  );
  expect(await listSpentToday(database)).toEqual([
    { provider: "llamaparse", request_count: 3, token_count: 100, page_count: 5, cost_usd: 0.75 },
    { provider: "openai", request_count: 6, token_count: 200, page_count: 10, cost_usd: 1.5 },
  ]);
});
