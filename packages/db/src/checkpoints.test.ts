import { randomUUID } from "node:crypto";
import { AppError } from "@pipeline/runtime";
import { afterAll, beforeAll, beforeEach, expect, it, test } from "vitest";
import { z } from "zod";
import {
  advanceJobs,
  failJob,
  holdJob,
  parkJob,
  releaseJob,
  reportProgress,
  type Checkpoint,
  type Failure,
} from "./checkpoints.ts";
import { STAGES } from "./pipeline.ts";
import { claimJobs } from "./claims.ts";
import { promoteDueJobs, rescueJobs } from "./queue.ts";
import { one } from "./queryable.ts";
import type { Hold } from "./rows.ts";
import { endSession } from "./sessions.ts";
import {
  claimOne,
  createQueuedJob,
  createSession,
  hasParallelConnections,
  openTestDatabase,
  queueInBulk,
  readHistory,
  readJob,
  type TestDatabase,
} from "./testing/index.ts";

let opened: TestDatabase;
beforeAll(async () => {
  opened = await openTestDatabase();
});
afterAll(() => opened.close());
beforeEach(() => opened.database.run("truncate upload_pipeline.documents, upload_pipeline.events cascade"));

async function claimed(): Promise<Hold> {
  await createQueuedJob(opened.database);
  const { job_id, fence } = await claimOne(opened.database);
  return { job_id, fence };
}

function step(hold: Hold, overrides: Partial<Checkpoint> = {}): Checkpoint {
  return { ...hold, from: "uploaded", to: "parsing", progress: {}, detail: {}, ...overrides };
}

function failure(overrides: Partial<Failure> = {}): Failure {
  return { stage: "verify", error: transient, maxRetries: 3, delayMs: 60_000, ...overrides };
}

const transient = new AppError({ kind: "transient", code: "busy", message: "Busy.", details: { provider: "x" } });
const permanent = new AppError({ kind: "permanent", code: "broken_file", message: "Broken." });

async function documentStatus(jobId: string): Promise<string> {
  const row = await one(
    opened.database,
    z.object({ processing_status: z.string() }),
    `select d.processing_status from upload_pipeline.documents d join upload_pipeline.upload_jobs j using (document_id)
     where j.job_id = $1`,
    [jobId],
  );
  return row.processing_status;
}

/** The claim's job is taken from it and claimed by another worker. */
async function loseTo(hold: Hold): Promise<Hold> {
  const [row] = await opened.database.many(
    z.object({ lease_session_id: z.string() }),
    "select lease_session_id from upload_pipeline.upload_jobs where job_id = $1",
    [hold.job_id],
  );
  await endSession(opened.database, row?.lease_session_id ?? "");
  await rescueJobs(opened.database, { maxCrashes: 10 });
  const { job_id, fence } = await claimOne(opened.database);
  return { job_id, fence };
}

test("a checkpoint moves job, document and history together", async () => {
  const hold = await claimed();
  const moved = await advanceJobs(opened.database, [
    step(hold, { progress: { pages_total: 3 }, detail: { ms: 12, path: 'C:\\"x"' } }),
  ]);
  expect(moved).toEqual(new Set([hold.job_id]));
  expect(await readJob(opened.database, hold.job_id)).toMatchObject({
    status: "parsing",
    state: "working",
    fence: hold.fence,
    progress: { pages_total: 3 },
  });
  expect(await documentStatus(hold.job_id)).toBe("parsing");
  const event = await one(
    opened.database,
    z.looseObject({ detail: z.unknown(), fence: z.number() }),
    "select detail, fence, type, status from upload_pipeline.events where job_id = $1 and type = 'status'",
    [hold.job_id],
  );
  expect(event).toEqual({ detail: { ms: 12, path: 'C:\\"x"' }, fence: hold.fence, type: "status", status: "parsing" });
});

test("one claim walks all stages, each recorded once and in order, and complete ends the job", async () => {
  const hold = await claimed();
  for (const { from, to } of STAGES) {
    const moved = await advanceJobs(opened.database, [step(hold, { from, to })]);
    expect(moved.size).toBe(1);
  }
  expect(await readJob(opened.database, hold.job_id)).toMatchObject({
    status: "complete",
    state: "done",
    lease_session_id: null,
    lease_expires_at: null,
    finished_at: expect.any(Date),
  });
  expect(await documentStatus(hold.job_id)).toBe("complete");
  expect(await readHistory(opened.database, hold.job_id)).toEqual([
    "created:uploaded",
    "upload_confirmed:uploaded",
    ...STAGES.map(({ to }) => `status:${to}`),
  ]);
  expect(await advanceJobs(opened.database, [step(hold, { from: "embeddings_stored", to: "complete" })])).toEqual(
    new Set(),
  );
});

test("in a mixed batch only the matching checkpoints count, and the others change nothing", async () => {
  const good = await claimed();
  const staleFence = await claimed();
  const wrongStatus = await claimed();
  const released = await claimed();
  await releaseJob(opened.database, released);
  const moved = await advanceJobs(opened.database, [
    step(released),
    step(good),
    step({ ...staleFence, fence: staleFence.fence - 1 }),
    step(wrongStatus, { from: "parsing", to: "parsed" }),
  ]);
  expect(moved).toEqual(new Set([good.job_id]));
  for (const hold of [staleFence, wrongStatus, released]) {
    expect(await readJob(opened.database, hold.job_id)).toMatchObject({ status: "uploaded" });
    expect(await documentStatus(hold.job_id)).toBe("uploaded");
    expect(await readHistory(opened.database, hold.job_id)).not.toContain("status:parsing");
  }
});

test("the same checkpoint twice counts once", async () => {
  const hold = await claimed();
  expect((await advanceJobs(opened.database, [step(hold)])).size).toBe(1);
  expect((await advanceJobs(opened.database, [step(hold)])).size).toBe(0);
  expect(await readHistory(opened.database, hold.job_id)).toEqual([
    "created:uploaded",
    "upload_confirmed:uploaded",
    "status:parsing",
  ]);
});

test("an empty batch is fine", async () => {
  expect(await advanceJobs(opened.database, [])).toEqual(new Set());
});

test("a skipped status is refused, and the whole batch with it", async () => {
  const good = await claimed();
  const skipping = await claimed();
  const batch = advanceJobs(opened.database, [step(good), step(skipping, { to: "parsed" })]);
  await expect(batch).rejects.toMatchObject({ kind: "conflict", code: "illegal_transition" });
  expect(await readJob(opened.database, good.job_id)).toMatchObject({ status: "uploaded" });
});

test("a rolled-back checkpoint leaves nothing", async () => {
  const hold = await claimed();
  const rolledBack = opened.database.transaction(async (tx) => {
    await advanceJobs(tx, [step(hold)]);
    throw permanent;
  });
  await expect(rolledBack).rejects.toBe(permanent);
  expect(await readJob(opened.database, hold.job_id)).toMatchObject({ status: "uploaded" });
  expect(await documentStatus(hold.job_id)).toBe("uploaded");
  expect(await readHistory(opened.database, hold.job_id)).not.toContain("status:parsing");
});

test("details with characters that jsonb refuses do not fail the batch", async () => {
  const hold = await claimed();
  const odd = { "ke\0y": "a\0b", half: "x\uD83D", whole: "😀 \\u0000 \\\\" };
  expect((await advanceJobs(opened.database, [step(hold, { detail: odd, progress: odd })])).size).toBe(1);
  expect(await readJob(opened.database, hold.job_id)).toMatchObject({
    progress: { "ke\uFFFDy": "a\uFFFDb", half: "x\uFFFD", whole: "😀 \\u0000 \\\\" },
  });
});

test("progress merges into what is there", async () => {
  const hold = await claimed();
  expect(await reportProgress(opened.database, hold, { chunks_done: 1, chunks_total: 9 })).toBe(true);
  expect(await reportProgress(opened.database, hold, { chunks_done: 2 })).toBe(true);
  expect(await readJob(opened.database, hold.job_id)).toMatchObject({ progress: { chunks_done: 2, chunks_total: 9 } });
});

test("a transient failure is retried later and keeps the status", async () => {
  const hold = await claimed();
  expect(await failJob(opened.database, hold, failure())).toBe("retryable");
  const job = await readJob(opened.database, hold.job_id);
  expect(job).toMatchObject({
    status: "uploaded",
    state: "retryable",
    retry_count: 1,
    due_at: expect.any(Date),
    lease_session_id: null,
    last_error: { stage: "verify", code: "busy", message: "Busy.", retryable: true, at: expect.any(String) },
  });
  const event = await one(
    opened.database,
    z.object({ type: z.string(), code: z.string(), detail: z.record(z.string(), z.unknown()) }),
    "select type, code, detail from upload_pipeline.events where job_id = $1 order by event_id desc limit 1",
    [hold.job_id],
  );
  expect(event).toMatchObject({ type: "retry_scheduled", code: "busy", detail: { provider: "x", retry_count: 1 } });
});

test("the attempt after the last retry is dead-lettered", async () => {
  const hold = await claimed();
  expect(await failJob(opened.database, hold, failure({ maxRetries: 1, delayMs: 0 }))).toBe("retryable");
  await promoteDueJobs(opened.database);
  const second = await claimOne(opened.database);
  expect(await failJob(opened.database, second, failure({ maxRetries: 1 }))).toBe("deadletter");
  expect(await readJob(opened.database, hold.job_id)).toMatchObject({
    retry_count: 1,
    due_at: null,
    finished_at: expect.any(Date),
  });
  expect(await readHistory(opened.database, hold.job_id)).toContain("deadlettered:uploaded");
});

test("a permanent failure is dead-lettered at once", async () => {
  const hold = await claimed();
  expect(await failJob(opened.database, hold, failure({ error: permanent }))).toBe("deadletter");
  expect(await readJob(opened.database, hold.job_id)).toMatchObject({
    retry_count: 0,
    last_error: { retryable: false },
  });
});

test("a failure whose message holds a NUL is stored all the same", async () => {
  const hold = await claimed();
  const error = new AppError({ kind: "permanent", code: "odd", message: "a\0b" });
  expect(await failJob(opened.database, hold, failure({ error }))).toBe("deadletter");
});

test("progress starts the count of retries anew", async () => {
  const hold = await claimed();
  await failJob(opened.database, hold, failure({ delayMs: 0 }));
  await promoteDueJobs(opened.database);
  const second = await claimOne(opened.database);
  await advanceJobs(opened.database, [step(second)]);
  expect(await readJob(opened.database, hold.job_id)).toMatchObject({ retry_count: 0, last_error: null });
});

test("a parked job waits, and is claimable again when it is due", async () => {
  const hold = await claimed();
  expect(await parkJob(opened.database, hold, { waiting_for: "parser", delayMs: 0 })).toBe("waiting");
  expect(await readJob(opened.database, hold.job_id)).toMatchObject({ state: "waiting", waiting_for: "parser" });
  await promoteDueJobs(opened.database);
  expect(await claimOne(opened.database)).toMatchObject({ job_id: hold.job_id, fence: hold.fence + 1 });
});

test("a released job burns no attempt", async () => {
  const hold = await claimed();
  expect(await releaseJob(opened.database, hold)).toBe("queued");
  expect(await readJob(opened.database, hold.job_id)).toMatchObject({
    state: "queued",
    retry_count: 0,
    crash_count: 0,
    lease_session_id: null,
  });
  expect(await readHistory(opened.database, hold.job_id)).toContain("released:uploaded");
});

const STALE_WRITES: [string, (hold: Hold) => Promise<unknown>, unknown][] = [
  ["advance", (hold) => advanceJobs(opened.database, [step(hold)]), new Set()],
  ["fail", (hold) => failJob(opened.database, hold, failure()), undefined],
  ["park", (hold) => parkJob(opened.database, hold, { waiting_for: "upload", delayMs: 0 }), undefined],
  ["release", (hold) => releaseJob(opened.database, hold), undefined],
  ["hold", (hold) => opened.database.transaction((tx) => holdJob(tx, hold)), false],
  ["report", (hold) => reportProgress(opened.database, hold, { chunks_done: 99 }), false],
];

test.each(STALE_WRITES)("a stale worker cannot %s a job that another holds", async (_name, write, nothing) => {
  const stale = await claimed();
  const current = await loseTo(stale);
  const before = await readJob(opened.database, stale.job_id);
  const history = await readHistory(opened.database, stale.job_id);
  expect(await write(stale)).toEqual(nothing);
  expect(await readJob(opened.database, stale.job_id)).toEqual(before);
  expect(await readHistory(opened.database, stale.job_id)).toEqual(history);
  expect(await opened.database.transaction((tx) => holdJob(tx, current))).toBe(true);
});

test.each(STALE_WRITES)("a worker cannot %s a job that it gave back", async (_name, write, nothing) => {
  const hold = await claimed();
  await releaseJob(opened.database, hold);
  expect(await write(hold)).toEqual(nothing);
  expect(await readJob(opened.database, hold.job_id)).toMatchObject({ state: "queued", progress: {} });
});

it.skipIf(!hasParallelConnections())(
  "a held job cannot be rescued until the transaction ends, and its write counts: needs two connections",
  async () => {
    const hold = await claimed();
    await opened.database.run("update upload_pipeline.upload_jobs set lease_expires_at = now() where job_id = $1", [
      hold.job_id,
    ]);
    const other = opened.openAnother();
    await opened.database.transaction(async (tx) => {
      expect(await holdJob(tx, hold)).toBe(true);
      expect(await rescueJobs(other, { maxCrashes: 3 })).toEqual([]);
      expect((await advanceJobs(tx, [step(hold)])).size).toBe(1);
    });
    expect(await rescueJobs(other, { maxCrashes: 3 })).toEqual([]);
    expect(await readJob(opened.database, hold.job_id)).toMatchObject({ status: "parsing", state: "working" });
  },
);

it.skipIf(!hasParallelConnections())(
  "batches that overlap in parallel move each job once: needs two connections",
  async () => {
    await queueInBulk(opened.database, { user_id: randomUUID(), count: 40 });
    const session_id = await createSession(opened.database);
    const holds = await claimJobs(opened.database, { session_id, limit: 40 });
    const batch = holds.map((hold) => step({ job_id: hold.job_id, fence: hold.fence }));
    const others = [opened.database, opened.openAnother(), opened.openAnother()];
    const moved = await Promise.all(others.map((database) => advanceJobs(database, batch.toReversed())));
    expect(moved.flatMap((ids) => Array.from(ids)).toSorted()).toEqual(holds.map((hold) => hold.job_id).toSorted());
  },
);
