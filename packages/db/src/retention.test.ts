import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, expect, it, test } from "vitest";
import { z } from "zod";
import { cancelJob } from "./cancel.ts";
import { STATES } from "./pipeline.ts";
import { reprocessDocument } from "./reprocess.ts";
import { deleteFinished, type DeletedBatch } from "./retention.ts";
import {
  captureStatement,
  createCompleteDocument,
  createSession,
  createUpload,
  explainGeneric,
  hasParallelConnections,
  insertJobInState,
  openTestDatabase,
  queueInBulk,
  readHistory,
  uploadPromise,
  vectorOf,
  type TestDatabase,
} from "./testing/index.ts";

let opened: TestDatabase;
beforeAll(async () => {
  opened = await openTestDatabase();
});
afterAll(() => opened.close());
beforeEach(async () => {
  for (const table of ["documents", "events", "worker_sessions"]) {
    await opened.database.run(`delete from upload_pipeline.${table}`);
  }
});

/** The guard refuses to change a finished job, so time passes without it. */
async function age(days: number): Promise<void> {
  await opened.database.transaction(async (tx) => {
    await tx.run("alter table upload_pipeline.upload_jobs disable trigger upload_jobs_guard");
    await tx.run("update upload_pipeline.upload_jobs set finished_at = finished_at - $1 * interval '1 day'", [days]);
    await tx.run("alter table upload_pipeline.upload_jobs enable trigger upload_jobs_guard");
  });
}

/** Batches until every job has been looked at. */
async function prune(limit = 100): Promise<{ totals: Omit<DeletedBatch, "next">; batches: number }> {
  const totals = { event_count: 0, job_count: 0, session_count: 0 };
  let after: string | undefined;
  for (let batches = 1; ; batches++) {
    const batch = await deleteFinished(opened.database, { olderThanDays: 30, limit, after });
    totals.event_count += batch.event_count;
    totals.job_count += batch.job_count;
    totals.session_count += batch.session_count;
    if (batch.next === null) return { totals, batches };
    after = batch.next;
  }
}

async function jobIds(): Promise<Set<string>> {
  const rows = await opened.database.many(
    z.object({ job_id: z.string() }),
    "select job_id from upload_pipeline.upload_jobs",
  );
  return new Set(rows.map((row) => row.job_id));
}

const passages = [{ text: "text", vector: vectorOf(1) }];

test("of a job that stays, the last event stays", async () => {
  const { job_id } = await createCompleteDocument(opened.database, { passages });
  const before = await readHistory(opened.database, job_id);
  expect(await prune()).toMatchObject({ totals: { event_count: 0, job_count: 0 } });
  await age(31);
  expect(await prune()).toEqual({
    totals: { event_count: before.length - 1, job_count: 0, session_count: 0 },
    batches: 1,
  });
  expect(await readHistory(opened.database, job_id)).toEqual(["status:complete"]);
  expect(await prune()).toMatchObject({ totals: { event_count: 0, job_count: 0 } });
});

test("a job that a later one followed goes with all its events", async () => {
  const promise = uploadPromise();
  const first = await createUpload(opened.database, promise);
  await cancelJob(opened.database, { job_id: first.job.job_id, correlation_id: "x" });
  const second = await createUpload(opened.database, { ...promise, job_id: randomUUID() });
  await age(31);
  expect(await prune()).toMatchObject({ totals: { event_count: 2, job_count: 1 } });
  expect(await jobIds()).toEqual(new Set([second.job.job_id]));
  expect(await readHistory(opened.database, first.job.job_id)).toEqual([]);
  expect(await readHistory(opened.database, second.job.job_id)).toEqual(["created:uploaded"]);
});

test("the passages of a document outlive the job that made them", async () => {
  const { document_id, job_id } = await createCompleteDocument(opened.database, { passages });
  const { job_id: later } = await opened.database.transaction((tx) =>
    reprocessDocument(tx, { document_id, from: "parse", correlation_id: "x" }),
  );
  await cancelJob(opened.database, { job_id: later, correlation_id: "x" });
  await age(31);
  await prune();
  expect(await jobIds()).toEqual(new Set([later]));
  const chunks = await opened.database.many(
    z.object({ generation: z.number() }),
    "select generation from upload_pipeline.document_chunks where document_id = $1",
    [document_id],
  );
  expect(chunks, job_id).toEqual([{ generation: 1 }]);
});

test("unfinished jobs lose nothing, however old", async () => {
  const kept = new Set<string>();
  for (const state of STATES) {
    kept.add(await insertJobInState(opened.database, { state, status: state === "done" ? "complete" : "parsing" }));
  }
  await opened.database.run(
    `insert into upload_pipeline.events (job_id, type, status, state, fence)
     select job_id, type, status, state, 1 from upload_pipeline.upload_jobs, (values ('created'), ('status')) as t (type)`,
  );
  await age(400);
  expect(await prune()).toMatchObject({ totals: { event_count: 3, job_count: 0 } });
  expect(await jobIds()).toEqual(kept);
});

test("every finished job is looked at once, however small the batches", async () => {
  for (let index = 0; index < 7; index++) await createCompleteDocument(opened.database, { passages });
  await age(31);
  const whole = (await opened.database.many(z.object({ total: z.number() }), COUNT_EVENTS))[0]?.total ?? 0;
  expect(await prune(3)).toEqual({ totals: { event_count: whole - 7, job_count: 0, session_count: 0 }, batches: 3 });
});

test("a batch looks at so many jobs though none of them is old", async () => {
  for (let index = 0; index < 7; index++) await createUpload(opened.database);
  expect(await prune(3)).toEqual({ totals: { event_count: 0, job_count: 0, session_count: 0 }, batches: 3 });
});

test("sessions that ended or expired long ago go, but for one that a job still names", async () => {
  const [live, ended, expired, named] = await Promise.all(
    Array.from({ length: 4 }, () => createSession(opened.database)),
  );
  const job_id = await insertJobInState(opened.database, { state: "working", status: "parsing" });
  await opened.database.run(
    "update upload_pipeline.upload_jobs set lease_session_id = $2, fence = fence + 1 where job_id = $1",
    [job_id, named ?? ""],
  );
  const past = "now() - interval '31 days'";
  await opened.database.run(`update upload_pipeline.worker_sessions set ended_at = ${past} where session_id = $1`, [
    ended ?? "",
  ]);
  await opened.database.run(
    `update upload_pipeline.worker_sessions set expires_at = ${past} where session_id = any ($1::uuid[])`,
    [[expired ?? "", named ?? ""]],
  );
  expect(await prune()).toMatchObject({ totals: { session_count: 2 } });
  const left = await opened.database.many(
    z.object({ session_id: z.string() }),
    "select session_id from upload_pipeline.worker_sessions",
  );
  expect(new Set(left.map((row) => row.session_id))).toEqual(new Set([live, named]));
});

it.skipIf(!hasParallelConnections())(
  "a job that somebody else has locked is left for the next time: needs two connections",
  async () => {
    const { job_id } = await createCompleteDocument(opened.database, { passages });
    await age(31);
    const before = await readHistory(opened.database, job_id);
    await opened.openAnother().transaction(async (tx) => {
      await tx.run("select 1 from upload_pipeline.upload_jobs where job_id = $1 for no key update", [job_id]);
      expect(await prune()).toMatchObject({ totals: { event_count: 0 } });
    });
    expect(await prune()).toMatchObject({ totals: { event_count: before.length - 1 } });
  },
);

test.each(["fresh", "of empty tables"])(
  "a batch looks up its events by job, with statistics %s",
  async (statistics) => {
    for (const table of ["upload_jobs", "events"]) {
      await opened.database.run(`alter table upload_pipeline.${table} set (autovacuum_enabled = false)`);
      await opened.database.run(`analyze upload_pipeline.${table}`);
    }
    await queueInBulk(opened.database, { user_id: randomUUID(), count: 2_000 });
    await opened.database.run(
      "update upload_pipeline.upload_jobs set state = 'cancelled', finished_at = now() - interval '40 days'",
    );
    await opened.database.run(
      `insert into upload_pipeline.events (job_id, type, status, state, fence)
     select job_id, 'cancelled', status, state, 0 from upload_pipeline.upload_jobs, generate_series(1, 5)`,
    );
    if (statistics === "fresh") {
      for (const table of ["upload_jobs", "events"]) await opened.database.run(`analyze upload_pipeline.${table}`);
    }
    const statement = await captureStatement('"upload_pipeline"', (probe) =>
      deleteFinished(probe, { olderThanDays: 30, limit: 50, after: undefined }).catch(() => undefined),
    );
    const nodes = await explainGeneric(opened.database, statement);
    const scanned = nodes.filter((node) => node["Node Type"] === "Seq Scan").map((node) => node["Relation Name"]);
    expect(scanned).not.toContain("events");
  },
);

const COUNT_EVENTS = "select count(*) as total from upload_pipeline.events";
