import { randomUUID } from "node:crypto";
import { AppError } from "@pipeline/runtime";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { failJob } from "./checkpoints.ts";
import { resolveDocumentId, resolveJobId } from "./id-prefix.ts";
import { getJobDetails, listJobs, type JobCursor, type JobFilter } from "./job-list.ts";
import { getQueueStats } from "./queue-stats.ts";
import { endSession, listWorkerSessions } from "./sessions.ts";
import {
  claimOne,
  createQueuedJob,
  createSession,
  createUpload,
  insertJobInState,
  openTestDatabase,
  type TestDatabase,
} from "./testing/index.ts";

let opened: TestDatabase;
beforeAll(async () => {
  opened = await openTestDatabase();
});
afterAll(() => opened.close());
beforeEach(async () => {
  await opened.database.run("delete from upload_pipeline.documents");
  await opened.database.run("delete from upload_pipeline.worker_sessions");
});

async function idsOf(filter: JobFilter, page: { before?: JobCursor; limit?: number } = {}): Promise<string[]> {
  const { before, limit = 10 } = page;
  return (await listJobs(opened.database, { filter, before, limit })).map((job) => job.job_id);
}

test("jobs of every user are listed, newest first, page by page", async () => {
  const ids: string[] = [];
  for (let index = 0; index < 5; index++) ids.push((await createUpload(opened.database)).job.job_id);
  // Two in one millisecond must not hide each other at the edge of a page.
  await opened.database.run("update upload_pipeline.upload_jobs set created_at = $1 where job_id = any ($2::uuid[])", [
    new Date("2026-01-01T00:00:00Z"),
    ids.slice(0, 3),
  ]);
  const seen: string[] = [];
  let before: JobCursor | undefined;
  for (;;) {
    const page = await listJobs(opened.database, { filter: {}, before, limit: 2 });
    seen.push(...page.map((job) => job.job_id));
    before = page.at(-1);
    if (page.length < 2) break;
  }
  expect(seen).toHaveLength(5);
  expect(new Set(seen)).toEqual(new Set(ids));
  expect(new Set(seen.slice(2))).toEqual(new Set(ids.slice(0, 3)));
});

test("a list holds what the filter says", async () => {
  const user_id = randomUUID();
  const mine = await insertJobInState(opened.database, { state: "deadletter", status: "parsing", user_id });
  const theirs = await insertJobInState(opened.database, { state: "deadletter", status: "chunking" });
  const queued = await insertJobInState(opened.database, { state: "queued", status: "parsing" });
  expect(new Set(await idsOf({ state: "deadletter" }))).toEqual(new Set([mine, theirs]));
  expect(new Set(await idsOf({ status: "parsing" }))).toEqual(new Set([mine, queued]));
  expect(await idsOf({ user_id })).toEqual([mine]);
  expect(new Set(await idsOf({ code: "test" }))).toEqual(new Set([mine, theirs]));
  expect(await idsOf({ code: "test", status: "chunking" })).toEqual([theirs]);
  expect(await idsOf({ code: "other" })).toEqual([]);
  const [listed] = await listJobs(opened.database, { filter: { user_id }, before: undefined, limit: 1 });
  expect(listed).toMatchObject({ job_id: mine, filename: "letter.txt", last_error: { code: "test" } });
});

test("an operator sees everything about a job, its worker included", async () => {
  const { job } = await createQueuedJob(opened.database);
  const details = () => getJobDetails(opened.database, job.job_id);
  expect(await details()).toMatchObject({ state: "queued", worker_name: null, lease_session_id: null, fence: 0 });
  await claimOne(opened.database);
  expect(await details()).toMatchObject({
    state: "working",
    worker_name: "test",
    fence: 1,
    generation: 1,
    live_generation: null,
    is_newest: true,
    filename: "letter.txt",
    mime: "text/plain",
    bytes_len: 12,
    crash_count: 0,
    lease_expires_at: expect.any(Date),
  });
  await expect(getJobDetails(opened.database, randomUUID())).rejects.toMatchObject({ code: "job_not_found" });
});

test("the start of an id is enough where it is the only one that starts so", async () => {
  const { job } = await createUpload(opened.database, { job_id: "abcd1234-0000-4000-8000-000000000001" });
  await createUpload(opened.database, { job_id: "abcd1234-0000-4000-8000-000000000002" });
  await createUpload(opened.database, { job_id: "abcd9999-0000-4000-8000-000000000003" });
  const resolve = (prefix: string) => resolveJobId(opened.database, prefix);
  expect(await resolve("abcd9")).toBe("abcd9999-0000-4000-8000-000000000003");
  expect(await resolve("ABCD9999-00")).toBe("abcd9999-0000-4000-8000-000000000003");
  expect(await resolve(job.job_id)).toBe(job.job_id);
  await expect(resolve("abcd1234")).rejects.toMatchObject({ kind: "conflict", code: "ambiguous_id" });
  await expect(resolve("abce")).rejects.toMatchObject({ kind: "not_found", code: "job_not_found" });
  for (const wrong of ["", "abc", "zzzz", "abcd%", `${job.job_id}0`]) {
    await expect(resolve(wrong)).rejects.toMatchObject({ kind: "invalid", code: "invalid_id" });
  }
  expect(await resolveDocumentId(opened.database, job.document_id.slice(0, 12))).toBe(job.document_id);
  await expect(resolveDocumentId(opened.database, randomUUID())).rejects.toMatchObject({ code: "document_not_found" });
});

test("the queue's figures count every state, and of unfinished jobs every status", async () => {
  for (const [state, status] of [
    ["queued", "uploaded"],
    ["queued", "parsing"],
    ["retryable", "parsing"],
    ["waiting", "uploaded"],
    ["deadletter", "parsing"],
    ["done", "complete"],
  ] as const) {
    await insertJobInState(opened.database, { state, status });
  }
  await opened.database.run(
    `update upload_pipeline.upload_jobs set created_at = now() - interval '1 hour', updated_at = now() - interval '10 minutes',
       due_at = case state when 'waiting' then now() + interval '1 day' else due_at end
     where state not in ('done', 'deadletter')`,
  );
  const stats = await getQueueStats(opened.database);
  const counts = Object.fromEntries(stats.by_state.map(({ state, job_count }) => [state, job_count]));
  expect(counts).toEqual({ queued: 2, working: 0, waiting: 1, retryable: 1, done: 1, deadletter: 1, cancelled: 0 });
  const statuses = stats.by_status.filter((group) => group.job_count > 0);
  expect(statuses.map(({ status, job_count }) => [status, job_count])).toEqual([
    ["uploaded", 2],
    ["parsing", 2],
  ]);
  expect(stats.due_count).toBe(1);
  const [queued, working] = stats.by_state;
  expect(queued?.oldest_seconds).toBeGreaterThanOrEqual(3_600);
  expect(queued?.idle_seconds).toBeGreaterThanOrEqual(600);
  expect(queued?.idle_seconds).toBeLessThan(3_600);
  expect(working).toEqual({ state: "working", job_count: 0, oldest_seconds: null, idle_seconds: null });
});

test("workers are listed with the jobs that they hold, the live ones first", async () => {
  const [ended, holding] = [await createSession(opened.database), await createSession(opened.database)];
  for (let index = 0; index < 2; index++) {
    await createQueuedJob(opened.database);
    await claimOne(opened.database, holding);
  }
  await endSession(opened.database, ended);
  expect(await listWorkerSessions(opened.database, 10)).toMatchObject([
    { session_id: holding, worker_name: "test", is_live: true, job_count: 2, ended_at: null },
    { session_id: ended, is_live: false, job_count: 0, ended_at: expect.any(Date) },
  ]);
  expect(await listWorkerSessions(opened.database, 1)).toHaveLength(1);
});

test("a dead letter is listed by the code that ended it", async () => {
  const { job } = await createQueuedJob(opened.database);
  const claim = await claimOne(opened.database);
  const error = new AppError({ kind: "permanent", code: "no_text", message: "No text." });
  await failJob(opened.database, claim, { stage: "verify", error, maxRetries: 3, delayMs: 0 });
  expect(await idsOf({ code: "no_text" })).toEqual([job.job_id]);
});
