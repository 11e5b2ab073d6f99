import { randomUUID } from "node:crypto";
import { claimKey } from "@pipeline/db";
import { createQueuedJob, createSession, queueInBulk, readHistory, uploadPromise } from "@pipeline/db/testing";
import { parseEnvironment } from "@pipeline/runtime";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { workerOptions } from "./config.ts";
import { openWorkerBench, type WorkerBench } from "./worker.fixture.ts";
import type { Worker } from "./worker.ts";

let bench: WorkerBench;
beforeAll(async () => {
  bench = await openWorkerBench();
});
afterEach(() => bench.clear());
afterAll(() => bench.close());

const WHOLE_HISTORY = ["created:uploaded", "upload_confirmed:uploaded", "cancelled:uploaded"];
const PATIENCE = { timeout: 30_000 };

test("a running worker deletes history older than its age, but no document's newest job", async () => {
  const old = await createEndedJobs(91);
  const young = await createEndedJobs(89);
  await openWorker().start();
  await expect.poll(listJobs, PATIENCE).toEqual([old.newest, ...young.jobs].toSorted());
  expect(await readHistory(bench.database, old.superseded)).toEqual([]);
  expect(await readHistory(bench.database, old.newest)).toEqual(["cancelled:uploaded"]);
  for (const job of young.jobs) {
    expect(await readHistory(bench.database, job)).toEqual(WHOLE_HISTORY);
  }
});

test("a running worker deletes sessions of workers that are gone for longer than its age", async () => {
  const old = await createEndedSession(91);
  const young = await createEndedSession(89);
  await openWorker().start();
  await expect.poll(listSessions, PATIENCE).not.toContain(old);
  expect(await listSessions()).toContain(young);
});

test("a worker that keeps everything deletes no history", async () => {
  const { database } = bench;
  const { superseded, jobs } = await createEndedJobs(4_000);
  const session = await createEndedSession(4_000);
  const keys = `${database.schema}.idempotency_keys`;
  await claimKey(database, { user_id: randomUUID(), key_digest: "old", request_digest: "r" }, 60_000);
  await database.run(`update ${keys} set created_at = now() - interval '25 hours'`);
  const worker = openWorker("0");
  await worker.start();
  const row = z.object({ key_digest: z.string() });
  await expect.poll(() => database.many(row, `select key_digest from ${keys}`), PATIENCE).toEqual([]);
  // Every loop ends the round that it is in.
  await worker.stop({ deadlineMs: 0 });
  expect(await listJobs()).toEqual(jobs.toSorted());
  expect(await readHistory(database, superseded)).toEqual(WHOLE_HISTORY);
  expect(await listSessions()).toContain(session);
});

test("workers that go through the history at once delete all of it, each row once", async () => {
  const { database } = bench;
  bench.logged.length = 0;
  const count = 1_500;
  await queueInBulk(database, { user_id: randomUUID(), count });
  await endJobs("true", 91);
  const countEvents = `select count(*) as total from ${database.schema}.events`;
  const workers = Array.from({ length: 3 }, () => openWorker());
  await Promise.all(workers.map((worker) => worker.start()));
  await expect
    .poll(() => database.many(z.object({ total: z.number() }), countEvents), PATIENCE)
    .toEqual([{ total: count }]);
  await Promise.all(workers.map((worker) => worker.stop({ deadlineMs: 0 })));
  const lines = bench.logged.map((line) => logLine.parse(JSON.parse(line)));
  const deleted = lines.filter((line) => line.msg === "old history deleted");
  expect(deleted.reduce((sum, line) => sum + (line.event_count ?? 0), 0)).toBe(count);
  expect(lines.filter((line) => line.msg === "old history not deleted")).toEqual([]);
});

/** A worker with that WORKER_HISTORY_AGE; 90 days where it is not set. */
function openWorker(age = ""): Worker {
  const variables = { DATABASE_URL: "postgresql://127.0.0.1/pipeline", WORKER_HISTORY_AGE: age };
  const { historyMs } = workerOptions(parseEnvironment(variables, "worker"));
  return bench.openWorker({ options: { historyMs } });
}

const logLine = z.object({ msg: z.string(), event_count: z.number().optional() });

/** Two jobs of one document that ended so many days ago. */
async function createEndedJobs(days: number): Promise<{ superseded: string; newest: string; jobs: string[] }> {
  const promise = uploadPromise();
  const first = await createQueuedJob(bench.database, promise);
  await endJobs(`job_id = '${first.job.job_id}'`, days);
  const second = await createQueuedJob(bench.database, { ...promise, job_id: randomUUID() });
  await endJobs(`job_id = '${second.job.job_id}'`, days);
  const [superseded, newest] = [first.job.job_id, second.job.job_id];
  return { superseded, newest, jobs: [superseded, newest] };
}

async function endJobs(condition: string, days: number): Promise<void> {
  const { schema } = bench.database;
  await bench.database.run(
    `with ended as (
       update ${schema}.upload_jobs set state = 'cancelled', finished_at = now() - $1 * interval '1 day'
       where state = 'queued' and ${condition} returning job_id, status, state, fence
     )
     insert into ${schema}.events (job_id, type, status, state, fence)
     select job_id, 'cancelled', status, state, fence from ended`,
    [days],
  );
}

async function createEndedSession(days: number): Promise<string> {
  const session_id = await createSession(bench.database);
  await bench.database.run(
    `update ${bench.database.schema}.worker_sessions set ended_at = now() - $2 * interval '1 day' where session_id = $1`,
    [session_id, days],
  );
  return session_id;
}

function listJobs(): Promise<string[]> {
  return listIds("select job_id as id from SCHEMA.upload_jobs order by job_id");
}

function listSessions(): Promise<string[]> {
  return listIds("select session_id as id from SCHEMA.worker_sessions");
}

async function listIds(sql: string): Promise<string[]> {
  const rows = await bench.database.many(z.object({ id: z.string() }), sql.replace("SCHEMA", bench.database.schema));
  return rows.map((row) => row.id);
}
