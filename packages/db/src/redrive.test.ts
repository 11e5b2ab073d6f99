import { randomUUID } from "node:crypto";
import { AppError } from "@pipeline/runtime";
import { afterAll, beforeAll, beforeEach, expect, it, test } from "vitest";
import { z } from "zod";
import { cancelJob } from "./cancel.ts";
import { advanceJobs, failJob, holdJob, parkJob, releaseJob, reportProgress } from "./checkpoints.ts";
import { isTerminal, STATES, STATUSES, type State, type Status } from "./pipeline.ts";
import { one } from "./queryable.ts";
import { promoteDueJobs, rescueJobs } from "./queue.ts";
import { redriveJobs, retryJob } from "./redrive.ts";
import type { Hold } from "./rows.ts";
import { listLostClaims } from "./sessions.ts";
import {
  claimOne,
  createQueuedJob,
  createUpload,
  hasParallelConnections,
  holdNow,
  insertJobInState,
  openTestDatabase,
  readJob,
  uploadPromise,
  type TestDatabase,
} from "./testing/index.ts";
import { registerUpload } from "./uploads.ts";

let opened: TestDatabase;
beforeAll(async () => {
  opened = await openTestDatabase();
});
afterAll(() => opened.close());
beforeEach(async () => {
  await opened.database.run("delete from upload_pipeline.documents");
  await opened.database.run("delete from upload_pipeline.events");
});

const correlation_id = "the acting request";

const cancel = (job_id: string, user_id?: string) =>
  cancelJob(opened.database, { job_id, correlation_id, ...(user_id === undefined ? {} : { user_id }) });
const retry = (job_id: string, user_id?: string) =>
  opened.database.transaction((tx) =>
    retryJob(tx, { job_id, correlation_id, ...(user_id === undefined ? {} : { user_id }) }),
  );
const redrive = (filter: Partial<Parameters<typeof redriveJobs>[1]["filter"]> = {}) =>
  opened.database.transaction((tx) => redriveJobs(tx, { filter: { limit: 100, ...filter }, correlation_id }));

async function redriven(filter: Parameters<typeof redrive>[0]): Promise<string[]> {
  return (await redrive(filter)).map((job) => job.job_id);
}

const eventRow = z.object({
  type: z.string(),
  status: z.string(),
  state: z.string(),
  fence: z.number(),
  correlation_id: z.string().nullable(),
  detail: z.record(z.string(), z.unknown()).nullable(),
});
function eventsOf(jobId: string): Promise<z.infer<typeof eventRow>[]> {
  return opened.database.many(
    eventRow,
    `select type, status, state, fence, correlation_id, detail from upload_pipeline.events
     where job_id = $1 order by event_id`,
    [jobId],
  );
}

/** The job's row as JSON text, every column. */
async function rowOf(jobId: string): Promise<string> {
  const row = await one(
    opened.database,
    z.object({ row: z.string() }),
    "select to_jsonb(j)::text as row from upload_pipeline.upload_jobs j where job_id = $1",
    [jobId],
  );
  return row.row;
}

/** A claimed job ended as dead letter by this error. */
async function deadLetter(
  error: { code: string; stage?: "verify" | "parse"; kind?: "permanent" | "transient" },
  user_id: string = randomUUID(),
): Promise<string> {
  const { job } = await createQueuedJob(opened.database, { user_id });
  const hold = await holdNow(opened.database, job.job_id);
  await failJob(opened.database, hold, {
    stage: error.stage ?? "parse",
    error: new AppError({ kind: error.kind ?? "permanent", code: error.code, message: "It failed." }),
    maxRetries: 0,
    delayMs: 0,
  });
  return job.job_id;
}

const CANCELLABLE: readonly State[] = ["queued", "working", "waiting", "retryable"];
const REVIVABLE: readonly State[] = ["deadletter", "cancelled", "retryable"];

function statusesOf(state: State): readonly Status[] {
  return STATUSES.filter((status) => (status === "complete") === (state === "done"));
}

const EVERY_PLACE = STATES.flatMap((state) => statusesOf(state).map((status) => [state, status] as const));

const placesOf = (states: readonly State[]) => EVERY_PLACE.filter(([state]) => states.includes(state));
const placesBut = (states: readonly State[]) => EVERY_PLACE.filter(([state]) => !states.includes(state));

test.each(placesOf(CANCELLABLE))("a %s job at %s is cancelled", async (state, status) => {
  const job_id = await insertJobInState(opened.database, { state, status });
  expect(await cancel(job_id)).toMatchObject({ job_id, state: "cancelled", status, finished_at: expect.any(Date) });
  // one more than it was made with
  const fence = 6;
  expect(await readJob(opened.database, job_id)).toMatchObject({ state: "cancelled", status, fence });
  const event = { type: "cancelled", status, state: "cancelled", fence, correlation_id, detail: null };
  expect(await eventsOf(job_id)).toEqual([event]);
});

test.each(placesBut(CANCELLABLE))("a %s job at %s is not cancelled", async (state, status) => {
  const job_id = await insertJobInState(opened.database, { state, status });
  const before = await rowOf(job_id);
  const refused = { kind: "conflict", code: "job_not_cancellable", details: { state } };
  await expect(cancel(job_id)).rejects.toMatchObject(refused);
  expect(await rowOf(job_id)).toBe(before);
  expect(await eventsOf(job_id)).toEqual([]);
});

test.each(placesOf(REVIVABLE))("a %s job at %s is retried where it stands", async (state, status) => {
  const job_id = await insertJobInState(opened.database, { state, status });
  expect(await retry(job_id)).toMatchObject({ state: "queued", status, last_error: null, retry_count: 0 });
  const row = await readJob(opened.database, job_id);
  expect(row).toMatchObject({ state: "queued", status, fence: 5, crash_count: 0 });
  expect(row.turn).toBeGreaterThan(0);
  const detail = expect.objectContaining({ from_state: state });
  const event = { type: "redriven", status, state: "queued", fence: 5, correlation_id, detail };
  expect(await eventsOf(job_id)).toEqual([event]);
});

test.each(placesBut(REVIVABLE))("a %s job at %s is not retried", async (state, status) => {
  const job_id = await insertJobInState(opened.database, { state, status });
  const before = await rowOf(job_id);
  await expect(retry(job_id)).rejects.toMatchObject({
    kind: "conflict",
    code: "job_not_retryable",
    details: { state },
  });
  expect(await rowOf(job_id)).toBe(before);
  expect(await eventsOf(job_id)).toEqual([]);
});

test.each(STATUSES)("of all jobs at %s a redrive takes the dead letters", async (status) => {
  const ids = new Map<State, string>();
  for (const [state] of EVERY_PLACE.filter((place) => place[1] === status)) {
    ids.set(state, await insertJobInState(opened.database, { state, status }));
  }
  const revived = await redrive();
  const dead = ids.get("deadletter");
  expect(revived.map((job) => job.job_id)).toEqual(dead === undefined ? [] : [dead]);
  const others = [...ids].filter(([state]) => state !== "deadletter");
  const rows = await Promise.all(others.map(([, job_id]) => readJob(opened.database, job_id)));
  expect(rows.map((row) => row.state)).toEqual(others.map(([state]) => state));
});

test("another user's job, and one that never was, can be neither cancelled nor retried", async () => {
  const job_id = await insertJobInState(opened.database, { state: "queued", status: "parsing" });
  const failed = await insertJobInState(opened.database, { state: "deadletter", status: "parsing" });
  const notFound = { kind: "not_found", code: "job_not_found" };
  await expect(cancel(job_id, randomUUID())).rejects.toMatchObject(notFound);
  await expect(retry(failed, randomUUID())).rejects.toMatchObject(notFound);
  await expect(cancel(randomUUID())).rejects.toMatchObject(notFound);
  await expect(retry(randomUUID())).rejects.toMatchObject(notFound);
  expect(await eventsOf(job_id)).toEqual([]);
  expect(await eventsOf(failed)).toEqual([]);
});

test("the owner cancels and retries, and a job's own request is not repeated in its events", async () => {
  const { job } = await createUpload(opened.database);
  const { job_id, user_id } = job;
  await cancelJob(opened.database, { job_id, user_id, correlation_id: job.correlation_id });
  await retry(job_id, user_id);
  expect((await eventsOf(job_id)).map((event) => [event.type, event.correlation_id])).toEqual([
    ["created", null],
    ["cancelled", null],
    ["redriven", correlation_id],
  ]);
});

/** Everything that a worker does with a claim; each answers whether it took effect. */
const WRITES: [string, (hold: Hold) => Promise<boolean>][] = [
  [
    "checkpoint",
    async (hold) =>
      (await advanceJobs(opened.database, [{ ...hold, from: "uploaded", to: "parsing", progress: {}, detail: {} }]))
        .size > 0,
  ],
  ["stored row", (hold) => opened.database.transaction((tx) => holdJob(tx, hold))],
  ["progress report", (hold) => reportProgress(opened.database, hold, { pages_done: 1 })],
  ["release", async (hold) => (await releaseJob(opened.database, hold)) !== undefined],
  ["wait", async (hold) => (await parkJob(opened.database, hold, { waiting_for: "upload", delayMs: 0 })) !== undefined],
  [
    "failure",
    async (hold) => {
      const error = new AppError({ kind: "transient", code: "busy", message: "Busy." });
      return (
        (await failJob(opened.database, hold, { stage: "verify", error, maxRetries: 3, delayMs: 0 })) !== undefined
      );
    },
  ],
];

test.each(WRITES)(
  "a %s of the worker whose job was cancelled changes nothing, not even after a retry",
  async (_w, write) => {
    const { job } = await createQueuedJob(opened.database);
    const { job_id, fence } = await claimOne(opened.database);
    const hold = { job_id, fence };
    await cancel(job.job_id);
    const cancelled = await rowOf(job_id);
    expect(await listLostClaims(opened.database, [hold])).toEqual(new Set([job_id]));
    expect(await write(hold)).toBe(false);
    expect(await rowOf(job_id)).toBe(cancelled);

    await retry(job_id);
    const queued = await rowOf(job_id);
    expect(await write(hold)).toBe(false);
    expect(await rowOf(job_id)).toBe(queued);

    const next = await claimOne(opened.database);
    const working = await rowOf(job_id);
    expect(next.fence).toBeGreaterThan(fence + 1);
    expect(await write(hold)).toBe(false);
    expect(await rowOf(job_id)).toBe(working);
    expect(await write({ job_id, fence: next.fence })).toBe(true);
  },
);

test("neither rescue nor promotion moves a cancelled job", async () => {
  for (const state of CANCELLABLE) {
    await cancel(await insertJobInState(opened.database, { state, status: "parsing" }));
  }
  expect(await rescueJobs(opened.database, { maxCrashes: 3 })).toEqual([]);
  expect(await promoteDueJobs(opened.database)).toBe(0);
});

test("a retried job starts with all its attempts, and its last error stands in the event", async () => {
  const job_id = await deadLetter({ code: "stage_timeout", kind: "transient" });
  const { last_error, fence } = await readJob(opened.database, job_id);
  await retry(job_id);
  expect(await readJob(opened.database, job_id)).toMatchObject({ last_error: null, retry_count: 0, fence });
  expect((await eventsOf(job_id)).at(-1)).toMatchObject({
    type: "redriven",
    detail: { from_state: "deadletter", last_error, retry_count: 0 },
  });
  await expect(retry(job_id)).rejects.toMatchObject({ code: "job_not_retryable" });
  const claim = await claimOne(opened.database);
  expect(claim).toMatchObject({ job_id, fence: fence + 1, retry_count: 0 });
});

test("only the newest job of a document is retried", async () => {
  const promise = uploadPromise();
  const first = await createUpload(opened.database, promise);
  await cancel(first.job.job_id);
  const second = await createUpload(opened.database, { ...promise, job_id: randomUUID() });
  await expect(retry(first.job.job_id)).rejects.toMatchObject({ kind: "conflict", code: "job_not_newest" });
  await cancel(second.job.job_id);
  await expect(retry(first.job.job_id)).rejects.toMatchObject({ code: "job_not_newest" });
  expect(await retry(second.job.job_id)).toMatchObject({ state: "queued" });
});

test.each([
  ["upload_expired", "verify"],
  ["length_mismatch", "parse"],
  ["hash_mismatch", "verify"],
  ["content_mismatch", "verify"],
  ["password_protected", "verify"],
] as const)("a job that failed with %s in %s needs its file again", async (code, stage) => {
  const job_id = await deadLetter({ code, stage });
  await expect(retry(job_id)).rejects.toMatchObject({ kind: "conflict", code: "upload_again" });
  expect(await redrive()).toEqual([]);
  expect(await readJob(opened.database, job_id)).toMatchObject({ state: "deadletter" });
});

test.each([
  ["object_not_found", "verify", "permanent"],
  ["storage_unavailable", "verify", "transient"],
  ["poison_job", "verify", "permanent"],
  ["password_protected", "parse", "permanent"],
] as const)("a job that failed with %s in %s can be retried", async (code, stage, kind) => {
  const job_id = await deadLetter({ code, stage, kind });
  expect(await retry(job_id)).toMatchObject({ job_id, state: "queued" });
});

test("a redrive takes what the filter says, oldest first, and no more than the limit", async () => {
  const [mine, theirs] = [randomUUID(), randomUUID()];
  const ids = [
    await deadLetter({ code: "stage_timeout" }, mine),
    await deadLetter({ code: "no_text" }, mine),
    await deadLetter({ code: "stage_timeout" }, theirs),
    await deadLetter({ code: "stage_timeout", stage: "verify", kind: "transient" }, mine),
    await deadLetter({ code: "stage_timeout" }, mine),
  ];
  expect(await redriven({ before: new Date("2020-01-01") })).toEqual([]);
  expect(await redriven({ code: "nothing_like_it" })).toEqual([]);
  expect(await redriven({ code: "stage_timeout", stage: "parse", user_id: mine, limit: 1 })).toEqual([ids[0]]);
  expect(await redriven({ code: "stage_timeout", stage: "verify" })).toEqual([ids[3]]);
  expect(await redriven({ user_id: theirs })).toEqual([ids[2]]);
  expect(await redriven({ before: new Date(Date.now() + 86_400_000) })).toEqual([ids[1], ids[4]]);
  expect(await redriven({})).toEqual([]);
});

test("each user's redriven jobs take the user's next turns, in the order in which they were made", async () => {
  const [mine, theirs] = [randomUUID(), randomUUID()];
  const ids: string[] = [];
  for (const user of [mine, mine, theirs, mine]) ids.push(await deadLetter({ code: "no_text" }, user));
  await redrive();
  const turns = await Promise.all(ids.map(async (id) => (await readJob(opened.database, id)).turn));
  const [first = 0, second = 0, other = 0, third = 0] = turns;
  expect([second - first, third - first]).toEqual([1, 2]);
  expect(other).toBeLessThan(third);
});

it.skipIf(!hasParallelConnections())(
  "a redrive passes over what another is acting on, and waits for nobody: needs two connections",
  async () => {
    const [locked, documentLocked, free] = [
      await deadLetter({ code: "no_text" }),
      await deadLetter({ code: "no_text" }),
      await deadLetter({ code: "no_text" }),
    ];
    const other = opened.openAnother();
    await other.transaction(async (tx) => {
      await tx.run("select 1 from upload_pipeline.upload_jobs where job_id = $1 for update", [locked]);
      await retryJob(tx, { job_id: documentLocked, correlation_id });
      expect((await redrive()).map((job) => job.job_id)).toEqual([free]);
    });
    expect((await redrive()).map((job) => job.job_id)).toEqual([locked]);
  },
);

it.skipIf(!hasParallelConnections())(
  "a retry and a new upload of the same file at once make one active job: needs two connections",
  async () => {
    const databases = [opened.database, opened.openAnother(), opened.openAnother()];
    for (let round = 0; round < 10; round++) {
      const promise = uploadPromise();
      const { job } = await createUpload(opened.database, promise);
      await cancel(job.job_id);
      const outcomes = await Promise.allSettled(
        databases.map((database, index) =>
          database.transaction(async (tx) => {
            if (index === 0) await retryJob(tx, { job_id: job.job_id, correlation_id });
            else await registerUpload(tx, { ...promise, job_id: randomUUID() });
          }),
        ),
      );
      const refused = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason] : []));
      for (const reason of refused) expect(reason).toMatchObject({ code: "job_not_newest" });
      const states = await opened.database.many(
        z.object({ state: z.enum(STATES) }),
        "select state from upload_pipeline.upload_jobs where document_id = $1",
        [promise.document_id],
      );
      expect(states.filter(({ state }) => !isTerminal(state))).toHaveLength(1);
    }
  },
);
