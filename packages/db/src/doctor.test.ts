import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it, test } from "vitest";
import { z } from "zod";
import { CHECKS, diagnose, type DiagnoseOptions, type Diagnosis } from "./doctor.ts";
import { IS_ACTIVE } from "./doctor/check.ts";
import { fillHealthily, type HealthyDatabase } from "./doctor/healthy-database.fixture.ts";
import { STATES } from "./pipeline.ts";
import type { Queryable } from "./queryable.ts";
import { hasParallelConnections, openTestDatabase, type TestDatabase } from "./testing/index.ts";

let opened: TestDatabase;
let healthy: HealthyDatabase;
beforeAll(async () => {
  opened = await openTestDatabase();
  healthy = await fillHealthily(opened.database);
});
afterAll(() => opened.close());

function faultsOf(diagnoses: readonly Diagnosis[]): Diagnosis[] {
  return diagnoses.filter(({ total }) => total > 0);
}

/** What the doctor finds once `plant` has run; then everything is as before. */
async function diagnoseAfter(
  plant: (tx: Queryable) => Promise<unknown>,
  options: DiagnoseOptions = {},
): Promise<Diagnosis[]> {
  const rollback = new Error("rolled back on purpose");
  let diagnoses: Diagnosis[] = [];
  const running = opened.database.transaction(async (tx) => {
    await tx.run("set local search_path to upload_pipeline, public");
    await plant(tx);
    diagnoses = await diagnose(tx, options);
    throw rollback;
  });
  await running.catch((error: unknown) => {
    if (error !== rollback) throw error;
  });
  return diagnoses;
}

test("a healthy database with jobs in every state has no finding", async () => {
  const states = await opened.database.many(
    z.object({ state: z.string() }),
    "select distinct state from upload_pipeline.upload_jobs",
  );
  expect(states.map(({ state }) => state).toSorted()).toEqual(STATES.toSorted());
  const diagnoses = await diagnose(opened.database, { maxInHandPerUser: 1 });
  expect(faultsOf(diagnoses)).toEqual([]);
  expect(diagnoses.map(({ title }) => title)).toEqual(CHECKS.map(({ title }) => title));
  expect(diagnoses.every(({ unexamined }) => unexamined === 0)).toBe(true);
});

test("an empty database has no finding", async () => {
  const diagnoses = await diagnoseAfter((tx) => tx.run("truncate documents, events, worker_sessions cascade"));
  expect(faultsOf(diagnoses)).toEqual([]);
});

interface Plant {
  /** The check that must find it. */
  title: string;
  /** What is wrong: part of the fault's `why`. */
  why: string;
  /** Run one after the other; `$1` is the subject. The schema's own refusals are lifted first. */
  sql: string[];
  subject: (ids: HealthyDatabase) => string;
  /** Titles of other checks that rightly find it too. */
  also?: string[];
  options?: DiagnoseOptions;
}

const NO_GUARD = "alter table upload_jobs disable trigger upload_jobs_guard";
const MORTAL = "00000000-0000-4000-8000-000000000000";

function setJob(columns: string): string {
  return `update upload_jobs set ${columns} where job_id = $1`;
}

function without(constraint: string): string {
  return `alter table upload_jobs drop constraint upload_jobs_${constraint}`;
}

const PRESENT = "Every document has a job, or passages that search sees";
const BEGUN = "A document's newest job builds its newest generation";
const LIVE = "What is complete is what search sees";
const SINGLE = "The same file of a user is one document, with one job under way";
const LEFT_OVER = "Nothing is left of what was deleted";
const ONE_OF = "Every job is exactly one of claimable, due later, leased or finished";
const IN_LINE = "The queue that claims read holds the queued jobs, each at its place";
const LISTED = "Every job in hand is on a list of its worker's claims";
const DUE = "No due job is left lying while workers live";
const LONG = "No job waits long for a worker";
const COUNTED = "Retries and lost workers are counted within their limits";
const NEAR = "Every due time is near";
const CAP = "No user has more jobs in hand than the cap";
const HELD = "No worker that ended holds a job, nor a dead one or an overrun stage while workers live";
const PAUSED = "While claiming is paused no worker takes a job";
const ONCE = "Every status of a job was reached once";
const FENCES = "Fences never fall";
const STEPS = "Every event is one legal step from the one before";
const STANDS = "A job stands where its last event left it";
const FOLLOWS = "A document's status is its newest job's";
const ENDED = "After its end a job is only ever redriven";
const NUMBERED = "The chunks of a generation are numbered from 0 without gap or double";
const VECTORS = "Every chunk that search sees has its vector";
const STALE = "A complete document holds nothing of other generations";
const MODEL = "The vectors of a finished generation are of one model";
const DATA = "No status without its data";
const OWNER = "A document's jobs and chunks belong to its owner";

const PLANTS: Plant[] = [
  {
    title: PRESENT,
    why: "has no job",
    sql: ["delete from upload_jobs where document_id = $1"],
    subject: (ids) => ids.queued.document_id,
  },
  {
    title: BEGUN,
    why: "began generation 2, its newest job builds 1",
    sql: ["update documents set generation_count = 2 where document_id = $1"],
    subject: (ids) => ids.queued.document_id,
  },
  {
    title: BEGUN,
    why: "began generation 1, its newest job builds 2",
    sql: ["update documents set generation_count = 1 where document_id = $1"],
    subject: (ids) => ids.again.document_id,
  },
  {
    title: BEGUN,
    why: "began generation 2, is parsing and has no job",
    sql: [
      "update documents set generation_count = 2, processing_status = 'parsing' where document_id = $1",
      "delete from upload_jobs where document_id = $1",
    ],
    subject: (ids) => ids.complete.document_id,
  },
  {
    title: BEGUN,
    why: "began generation 1, is parsing and has no job",
    sql: [
      "update documents set processing_status = 'parsing' where document_id = $1",
      "delete from upload_jobs where document_id = $1",
    ],
    subject: (ids) => ids.complete.document_id,
  },
  {
    title: LIVE,
    why: "search sees none",
    sql: ["update documents set live_generation = null where document_id = $1"],
    subject: (ids) => ids.complete.document_id,
  },
  {
    title: SINGLE,
    why: "2 documents of user",
    sql: [
      "alter table documents drop constraint documents_one_per_file",
      `update documents set file_sha256 = 'same', created_at = now() where document_id = $1`,
      `update documents set file_sha256 = 'same', created_at = now() + interval '1 second'
       where user_id = (select user_id from documents where document_id = $1) and document_id <> $1`,
    ],
    subject: (ids) => ids.queued.document_id,
  },
  {
    title: SINGLE,
    why: "2 jobs of it are under way",
    sql: [
      "alter table upload_jobs disable trigger upload_jobs_one_active_insert",
      "insert into upload_jobs (document_id) values ($1)",
    ],
    subject: (ids) => ids.queued.document_id,
  },
  {
    title: SINGLE,
    why: "2 jobs of it build generation 2",
    sql: [
      NO_GUARD,
      "drop index upload_jobs_generation",
      "update upload_jobs set generation = 2 where document_id = $1 and generation = 1",
    ],
    subject: (ids) => ids.again.document_id,
  },
  {
    title: IN_LINE,
    why: "is queued and not in ready_jobs",
    sql: ["delete from ready_jobs where job_id = $1"],
    subject: (ids) => ids.queued.job_id,
  },
  {
    title: IN_LINE,
    why: "is in ready_jobs and is working",
    sql: [
      "insert into ready_jobs select turn, priority, seq, job_id, user_id, fence from upload_jobs where job_id = $1",
    ],
    subject: (ids) => ids.working.job_id,
  },
  {
    title: LISTED,
    why: "which has not listed it",
    sql: ["delete from session_claims where $1::uuid = any (job_ids)"],
    subject: (ids) => ids.working.job_id,
  },
  {
    title: LEFT_OVER,
    why: "has events and no job",
    sql: ["alter table upload_jobs disable trigger upload_jobs_forget", "delete from upload_jobs where job_id = $1"],
    subject: (ids) => ids.complete.job_id,
  },
  {
    title: LEFT_OVER,
    why: "which is not there",
    sql: [
      "alter table upload_jobs drop constraint upload_jobs_document_id_fkey",
      "delete from documents where document_id = (select document_id from upload_jobs where job_id = $1)",
    ],
    subject: (ids) => ids.queued.job_id,
  },
  ...["chunks", "pages"].map((what) => ({
    title: LEFT_OVER,
    why: `has ${what} and no document`,
    sql: [
      `alter table document_${what} drop constraint document_${what}_document_id_fkey`,
      "delete from documents where document_id = $1",
    ],
    subject: (ids: HealthyDatabase) => ids.complete.document_id,
  })),
  {
    title: ONE_OF,
    why: "works without a lease",
    sql: [without("lease"), setJob("lease_expires_at = null")],
    subject: (ids) => ids.working.job_id,
  },
  {
    title: ONE_OF,
    why: "is queued and holds a lease",
    sql: [without("lease"), setJob("lease_session_id = gen_random_uuid()")],
    subject: (ids) => ids.queued.job_id,
  },
  {
    title: ONE_OF,
    why: "is waiting with no time to go on",
    sql: [without("due"), setJob("due_at = null")],
    subject: (ids) => ids.waiting.job_id,
  },
  {
    title: ONE_OF,
    why: "is queued and has a due time",
    sql: [without("due"), setJob("due_at = now()")],
    subject: (ids) => ids.queued.job_id,
  },
  {
    title: ONE_OF,
    why: "waits for nothing",
    sql: [without("waiting"), setJob("waiting_for = null")],
    subject: (ids) => ids.waiting.job_id,
  },
  {
    title: ONE_OF,
    why: "without a place",
    sql: [without("turn"), setJob("turn = 0")],
    subject: (ids) => ids.queued.job_id,
  },
  {
    title: ONE_OF,
    why: "is done and has no end",
    sql: [NO_GUARD, without("finished"), setJob("finished_at = null")],
    subject: (ids) => ids.complete.job_id,
  },
  {
    title: ONE_OF,
    why: "is queued and has ended",
    sql: [without("finished"), setJob("finished_at = now()")],
    subject: (ids) => ids.queued.job_id,
  },
  {
    title: ONE_OF,
    why: "is done with status embeddings_stored",
    sql: [NO_GUARD, without("done"), setJob("status = 'embeddings_stored'")],
    subject: (ids) => ids.complete.job_id,
    also: [STANDS, FOLLOWS],
  },
  {
    title: DUE,
    why: "is waiting and was due",
    sql: [setJob("due_at = now() - interval '6 minutes'")],
    subject: (ids) => ids.waiting.job_id,
  },
  {
    title: LONG,
    why: "is queued since",
    sql: [setJob("updated_at = now() - interval '6 minutes'")],
    subject: (ids) => ids.queued.job_id,
  },
  {
    title: LONG,
    why: "no worker lives",
    sql: [
      "update worker_sessions set expires_at = now()",
      setJob("updated_at = now() - interval '1 hour', due_at = now() - interval '1 hour'"),
    ],
    subject: (ids) => ids.retryable.job_id,
  },
  {
    title: COUNTED,
    why: "4 retries",
    sql: [setJob("retry_count = 4")],
    subject: (ids) => ids.queued.job_id,
  },
  {
    title: COUNTED,
    why: "3 lost workers",
    sql: [setJob("crash_count = 3")],
    subject: (ids) => ids.working.job_id,
  },
  {
    title: NEAR,
    why: "was set retryable",
    sql: [setJob("due_at = updated_at + interval '7 minutes'")],
    subject: (ids) => ids.retryable.job_id,
  },
  {
    title: NEAR,
    why: "due at infinity",
    sql: [setJob("due_at = 'infinity'")],
    subject: (ids) => ids.waiting.job_id,
  },
  {
    title: CAP,
    why: "1 jobs in hand, the cap is 0",
    sql: [],
    subject: (ids) => ids.working.user_id,
    options: { maxInHandPerUser: 0 },
  },
  ...["expires_at", "ended_at"].map((end) => ({
    title: HELD,
    why: `is held by session ${MORTAL}`,
    sql: [
      `insert into worker_sessions (session_id, worker_name, hostname, pid, expires_at)
       values ('${MORTAL}', 'test', 'localhost', 1, now() + interval '1 hour')`,
      `update worker_sessions set ${end} = now() - interval '21 seconds' where session_id = '${MORTAL}'`,
      setJob(`lease_session_id = '${MORTAL}', fence = fence + 1`),
    ],
    subject: (ids: HealthyDatabase) => ids.working.job_id,
  })),
  {
    title: HELD,
    why: "is held by session",
    sql: [
      setJob(`lease_session_id = gen_random_uuid(), fence = fence + 1, updated_at = now() - interval '21 seconds'`),
    ],
    subject: (ids) => ids.working.job_id,
  },
  {
    title: HELD,
    why: "is held by session",
    sql: [setJob("lease_expires_at = now() - interval '21 seconds'")],
    subject: (ids) => ids.working.job_id,
  },
  {
    title: HELD,
    why: "is held by session",
    sql: [
      "update worker_sessions set ended_at = now() - interval '21 seconds'",
      setJob("lease_expires_at = now() + interval '1 hour'"),
    ],
    subject: (ids) => ids.working.job_id,
  },
  {
    title: PAUSED,
    why: "begun at",
    sql: [
      "update queue_control set paused_at = now() - interval '1 minute'",
      "update worker_sessions set started_at = now() - interval '30 seconds'",
      "update session_claims set claimed_at = now() - interval '2 minutes'",
    ],
    subject: (ids) => ids.working.job_id,
  },
  {
    title: PAUSED,
    why: "which took it at",
    sql: [
      "update queue_control set paused_at = now() - interval '1 minute'",
      "update session_claims set claimed_at = now() - interval '50 seconds' where $1::uuid = any (job_ids)",
    ],
    subject: (ids) => ids.working.job_id,
  },
  {
    title: ONCE,
    why: "reached complete 2 times",
    sql: [
      `insert into events (job_id, type, status, state, fence)
       select job_id, 'status', status, state, fence from upload_jobs where job_id = $1`,
    ],
    subject: (ids) => ids.complete.job_id,
    also: [STEPS, ENDED],
  },
  {
    title: FENCES,
    why: "has fence 9, the job 1",
    sql: ["update events set fence = 9 where job_id = $1 and status = 'complete'"],
    subject: (ids) => ids.complete.job_id,
  },
  {
    title: FENCES,
    why: "has fence 0 after 1",
    sql: ["update events set fence = 0 where job_id = $1 and status = 'complete'"],
    subject: (ids) => ids.complete.job_id,
  },
  {
    title: STEPS,
    why: "is status to chunks_stored/working after parse_validated",
    sql: ["delete from events where job_id = $1 and status = 'chunking'"],
    subject: (ids) => ids.complete.job_id,
  },
  {
    title: STEPS,
    why: "is upload_confirmed to parsed/queued after uploaded",
    sql: ["update events set status = 'parsed' where job_id = $1 and type = 'upload_confirmed'"],
    subject: (ids) => ids.queued.job_id,
    also: [STANDS],
  },
  {
    title: STEPS,
    why: "is retry_scheduled to uploaded/queued",
    sql: ["update events set state = 'queued' where job_id = $1 and type = 'retry_scheduled'"],
    subject: (ids) => ids.retryable.job_id,
    also: [STANDS],
  },
  {
    title: STEPS,
    why: "is created to uploaded/queued after uploaded",
    sql: [
      `insert into events (job_id, type, status, state, fence)
       select job_id, 'created', status, state, fence from upload_jobs where job_id = $1`,
    ],
    subject: (ids) => ids.queued.job_id,
  },
  {
    title: STEPS,
    why: "is status to complete/working",
    sql: ["update events set state = 'working' where job_id = $1 and status = 'complete'"],
    subject: (ids) => ids.complete.job_id,
    also: [STANDS],
  },
  {
    title: STANDS,
    why: "is chunks_stored/working, its last event left it chunking/working",
    sql: ["delete from events where job_id = $1 and status = 'chunks_stored'"],
    subject: (ids) => ids.working.job_id,
  },
  {
    title: STANDS,
    why: "is uploaded/retryable, its last event left it uploaded/queued",
    sql: ["delete from events where job_id = $1 and type = 'retry_scheduled'"],
    subject: (ids) => ids.retryable.job_id,
  },
  {
    title: STANDS,
    why: "is uploaded/queued and has no event",
    sql: ["delete from events where job_id = $1"],
    subject: (ids) => ids.queued.job_id,
  },
  {
    title: STANDS,
    why: "is chunks_stored/working, its last event left it uploaded/queued",
    sql: ["delete from events where job_id = $1 and type <> 'upload_confirmed'"],
    subject: (ids) => ids.working.job_id,
  },
  {
    title: FOLLOWS,
    why: "is parsing, its newest job",
    sql: ["update documents set processing_status = 'parsing' where document_id = $1"],
    subject: (ids) => ids.queued.document_id,
  },
  {
    title: ENDED,
    why: "is released after the job was deadletter",
    sql: [
      `insert into events (job_id, type, status, state, fence)
       select job_id, 'released', status, 'queued', fence from upload_jobs where job_id = $1`,
    ],
    subject: (ids) => ids.deadletter.job_id,
    also: [STANDS],
  },
  {
    title: NUMBERED,
    why: "generation 1 has 3 chunks with 3 numbers from 0 to 5",
    sql: ["update document_chunks set ordinal = 5 where document_id = $1 and ordinal = 1"],
    subject: (ids) => ids.complete.document_id,
  },
  {
    title: NUMBERED,
    why: "generation 1 has 3 chunks with 2 numbers from 0 to 2",
    sql: [
      "alter table document_chunks drop constraint document_chunks_place",
      "update document_chunks set ordinal = 0 where document_id = $1 and ordinal = 1",
    ],
    subject: (ids) => ids.complete.document_id,
  },
  {
    title: VECTORS,
    why: "chunk 0 of document",
    sql: [
      `update document_chunks set embedding = null, embed_model = null, embed_version = null, embedded_at = null
       where chunk_id = $1`,
    ],
    subject: (ids) => ids.complete.chunk_ids[0] ?? "",
    also: [DATA],
  },
  ...["chunks", "pages"].map((what) => ({
    title: STALE,
    why: `holds ${what} of generation 2, search sees 1`,
    sql: [
      what === "pages"
        ? "insert into document_pages (document_id, generation, page_number, text) values ($1, 2, 1, 'Old.')"
        : `insert into document_chunks (chunk_id, document_id, user_id, generation, ordinal, text, token_count,
             page_start, page_end, char_start, char_end, chunker_name, chunker_version)
           select gen_random_uuid(), document_id, user_id, 2, 0, 'Old.', 1, 1, 1, 0, 4, 'test', '1'
           from documents where document_id = $1`,
    ],
    subject: (ids: HealthyDatabase) => ids.complete.document_id,
  })),
  {
    title: MODEL,
    why: "vectors of other-model and test-model",
    sql: ["update document_chunks set embed_model = 'other-model' where document_id = $1 and ordinal = 1"],
    subject: (ids) => ids.complete.document_id,
  },
  {
    title: DATA,
    why: "is parsed and generation 1 has no pages",
    sql: ["delete from document_pages where document_id = $1"],
    subject: (ids) => ids.deadletter.document_id,
  },
  {
    title: DATA,
    why: "is chunks_stored and generation 1 has no chunks",
    sql: ["delete from document_chunks where document_id = $1"],
    subject: (ids) => ids.working.document_id,
  },
  {
    title: DATA,
    why: "is embeddings_stored and generation 1 has chunks without vector",
    sql: [
      NO_GUARD,
      "update upload_jobs set status = 'embeddings_stored' where document_id = $1",
      "update documents set processing_status = 'embeddings_stored' where document_id = $1",
    ],
    subject: (ids) => ids.working.document_id,
    options: { only: ["D4"] },
  },
  {
    title: OWNER,
    why: "its job",
    sql: [NO_GUARD, `update upload_jobs set user_id = gen_random_uuid() where document_id = $1`],
    subject: (ids) => ids.queued.document_id,
  },
  {
    title: OWNER,
    why: "1 of its chunks of",
    sql: [`update document_chunks set user_id = gen_random_uuid() where document_id = $1 and ordinal = 0`],
    subject: (ids) => ids.complete.document_id,
  },
];

test.each(PLANTS)("$title: one that $why is found", async (plant) => {
  const subject = plant.subject(healthy);
  const diagnoses = await diagnoseAfter(async (tx) => {
    for (const sql of plant.sql) await tx.run(sql, sql.includes("$1") ? [subject] : []);
  }, plant.options);
  const faults = faultsOf(diagnoses);
  const expected = plant.options?.only ? [plant.title] : [plant.title, ...(plant.also ?? [])];
  expect(faults.map(({ title }) => title).toSorted()).toEqual(expected.toSorted());
  const fault = faults.find(({ title }) => title === plant.title);
  expect(fault).toMatchObject({
    total: 1,
    offending: [{ id: subject, why: expect.stringContaining(plant.why) }],
  });
});

test("every check has a planted violation", () => {
  expect([...new Set(PLANTS.map(({ title }) => title))].toSorted()).toEqual(
    CHECKS.map(({ title }) => title).toSorted(),
  );
});

test("without a worker nothing is overdue, there is only a warning", async () => {
  const diagnoses = await diagnoseAfter(async (tx) => {
    await tx.run("update worker_sessions set expires_at = now() - interval '1 hour'");
    await tx.run(`update upload_jobs set updated_at = now() - interval '1 day' where ${IS_ACTIVE}`);
    await tx.run("update upload_jobs set due_at = now() - interval '1 day' where due_at is not null");
  });
  expect(faultsOf(diagnoses)).toEqual([expect.objectContaining({ invariant: "I2", severity: "warning", title: LONG })]);
});

test("what a worker that just ended still holds, the next one has time to take", async () => {
  const diagnoses = await diagnoseAfter((tx) =>
    tx.run("update worker_sessions set ended_at = now() - interval '19 seconds'"),
  );
  expect(faultsOf(diagnoses)).toEqual([]);
});

test("a document whose jobs are all gone is sound once it is complete", async () => {
  const diagnoses = await diagnoseAfter((tx) =>
    tx.run("delete from upload_jobs where document_id = $1", [healthy.complete.document_id]),
  );
  expect(faultsOf(diagnoses)).toEqual([]);
});

test("while claiming is paused a long wait is nobody's fault", async () => {
  const diagnoses = await diagnoseAfter(async (tx) => {
    await tx.run("update queue_control set paused_at = now()");
    await tx.run("update upload_jobs set updated_at = now() - interval '1 day' where state = 'queued'");
  });
  expect(faultsOf(diagnoses)).toEqual([]);
});

test("a job whose first events have left by age is judged by the rest alone", async () => {
  const diagnoses = await diagnoseAfter((tx) =>
    tx.run(`delete from events e where (type in ('created', 'upload_confirmed') or status = 'parsing')
      and exists (select from events later where later.job_id = e.job_id and later.event_id > e.event_id)`),
  );
  expect(faultsOf(diagnoses)).toEqual([]);
});

test("a diagnosis counts all faults and names the first", async () => {
  const diagnoses = await diagnoseAfter((tx) => tx.run(`update upload_jobs set retry_count = 9 where ${IS_ACTIVE}`), {
    limit: 2,
  });
  const [found] = faultsOf(diagnoses);
  expect(found?.total).toBeGreaterThan(2);
  const ids = found?.offending.map(({ id }) => id);
  expect(ids).toHaveLength(2);
  expect(ids).toEqual(ids?.toSorted());
});

test("what a bounded check did not read is told", async () => {
  const options = { recentJobs: 1, recentDocuments: 1, only: ["I3", "I8"] };
  const diagnoses = await diagnoseAfter(async (tx) => {
    await tx.run("update events set status = 'complete', type = 'status' where job_id = $1", [healthy.complete.job_id]);
    await tx.run("update upload_jobs set updated_at = now() + interval '1 minute' where job_id = $1", [
      healthy.queued.job_id,
    ]);
  }, options);
  expect(faultsOf(diagnoses)).toEqual([]);
  const unexamined = Object.fromEntries(diagnoses.map((diagnosis) => [diagnosis.title, diagnosis.unexamined]));
  expect(unexamined[COUNTED]).toBe(0);
  expect(unexamined[ONCE]).toBeGreaterThan(0);
  expect(unexamined[VECTORS]).toBeGreaterThan(0);
});

test("only the named invariants are checked, and a name that no check has is refused", async () => {
  const diagnoses = await diagnose(opened.database, { only: ["I4", "I9"] });
  expect(diagnoses.map(({ invariant }) => invariant)).toEqual(["I4", "I9"]);
  await expect(diagnose(opened.database, { only: ["I99"] })).rejects.toMatchObject({ code: "unknown_invariant" });
  await expect(diagnose(opened.database, { only: ["I2", "I11"] })).rejects.toMatchObject({ code: "cap_missing" });
});

it.skipIf(!hasParallelConnections())("a check that takes too long is named: needs two connections", async () => {
  await opened.openAnother().transaction(async (tx) => {
    await tx.run("lock table upload_pipeline.document_pages in access exclusive mode");
    await expect(diagnose(opened.database, { timeoutMs: 100, only: ["D3"] })).rejects.toMatchObject({
      code: "check_timeout",
      message: expect.stringContaining(LEFT_OVER),
    });
  });
});

test("docs/invariants.md lists exactly the checks", async () => {
  const page = await readFile(join(import.meta.dirname, "../../../docs/invariants.md"), "utf8");
  const listed = [...page.matchAll(/^\| ([ID]\d+) \| ([^|]+) \|/gm)].map(([, name, title]) => `${name} ${title}`);
  expect(listed).toEqual(CHECKS.map(({ invariant, title }) => `${invariant} ${title}`));
});
