import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { advanceJobs } from "./checkpoints.ts";
import { deleteDocument } from "./delete-document.ts";
import { closeAbandoned } from "./provider-jobs-withdrawal.ts";
import { openSubmission } from "./provider-jobs.ts";
import { removeDeletedFiles } from "./removals.ts";
import {
  captureStatement,
  claimOne,
  createQueuedJob,
  createUpload,
  explainGeneric,
  hasParallelConnections,
  openTestDatabase,
  queueInBulk,
  type TestDatabase,
} from "./testing/index.ts";
import { listUserJobs } from "./user-jobs.ts";
import { listChangedJobs, listGoneJobs } from "./watched-jobs.ts";

let opened: TestDatabase;
beforeAll(async () => {
  opened = await openTestDatabase();
});
afterAll(() => opened.close());

const schema = '"upload_pipeline"';

async function refuse(): Promise<void> {
  throw new Error("away");
}

test("a watched job is told when it changed, with the events that were not seen", async () => {
  const { job } = await createQueuedJob(opened.database);
  const watched = { job_id: job.job_id, user_id: job.user_id, version: "", after: null };
  const [first] = await listChangedJobs(opened.database, [watched]);
  expect(first).toMatchObject({ index: 0, job: { state: "queued" }, events: [{ type: "upload_confirmed" }] });
  const seen = { ...watched, version: first?.version ?? "", after: first?.events[0]?.event_id ?? null };
  expect(await listChangedJobs(opened.database, [seen])).toEqual([]);
  const claim = await claimOne(opened.database);
  const step = { ...claim, from: "uploaded" as const, to: "parsing" as const, progress: {}, detail: {} };
  await advanceJobs(opened.database, [step]);
  const stranger = { ...seen, user_id: randomUUID() };
  const changed = await listChangedJobs(opened.database, [stranger, seen]);
  expect(changed).toMatchObject([{ index: 1, job: { status: "parsing" }, events: [{ status: "parsing" }] }]);
  expect(await listGoneJobs(opened.database, [job.job_id, randomUUID()])).toHaveProperty("size", 1);
});

test("watched jobs are looked up one by one, and a user's list is read from its index", async () => {
  const user_id = randomUUID();
  await queueInBulk(opened.database, { user_id, count: 500 });
  await opened.database.run("analyze upload_pipeline.upload_jobs");
  const watched = [{ job_id: randomUUID(), user_id, version: "1", after: 1 }];
  const look = await captureStatement(schema, (probe) => listChangedJobs(probe, watched));
  const before = { created_at: new Date(Date.now() + 60_000), job_id: randomUUID() };
  const list = await captureStatement(schema, (probe) =>
    listUserJobs(probe, { user_id, filter: {}, before, limit: 10 }),
  );
  for (const [statement, index] of [
    [look, "upload_jobs_pkey"],
    [list, "upload_jobs_by_user"],
  ] as const) {
    const nodes = await explainGeneric(opened.database, statement);
    expect(nodes.map((node) => node["Index Name"])).toContain(index);
    const scans = nodes.filter((node) => node["Node Type"] === "Seq Scan" && node["Relation Name"] === "upload_jobs");
    expect(scans).toEqual([]);
    expect(nodes.filter((node) => node["Node Type"] === "Sort" && Number(node["Actual Rows"]) > 10)).toEqual([]);
  }
});

test("an open submission to a provider is withdrawn when its document is deleted", async () => {
  const { job } = await createQueuedJob(opened.database);
  const submission_id = randomUUID();
  const sent = { submission_id, job_id: job.job_id, provider: "llamaparse", tier: "fast", version: "latest" };
  await openSubmission(opened.database, { ...sent, webhook_secret: "secret", settles_in_ms: 0 });
  await opened.database.transaction((tx) => deleteDocument(tx, job));
  expect(await closeAbandoned(opened.database, 10)).toMatchObject([{ submission_id }]);
});

test("files that storage refuses come again later, and none is taken by two at once", async () => {
  const { job, document } = await createUpload(opened.database);
  const keys = await opened.database.transaction((tx) => deleteDocument(tx, job));
  expect(keys).toEqual([document.raw_path]);
  await expect(removeDeletedFiles(opened.database, refuse)).rejects.toThrow("away");
  const removed: string[] = [];
  const remove = async (taken: string[]): Promise<void> => void removed.push(...taken);
  expect(await removeDeletedFiles(opened.database, remove)).toBe(0);
  await opened.database.run("update upload_pipeline.removals set due_at = now()");
  expect(await removeDeletedFiles(opened.database, remove)).toBeGreaterThan(0);
  expect(removed).toContain(document.raw_path);
  // The upload link lives on for two hours: it is looked at again after that.
  const left = await opened.database.run(
    "select from upload_pipeline.removals where object_key = $1 and due_at > now() + interval '1 hour'",
    [document.raw_path],
  );
  expect(left).toBe(1);
});

test.skipIf(!hasParallelConnections())(
  "deletions and checkpoints of the same documents at once end without a deadlock (needs several connections)",
  async () => {
    const user_id = randomUUID();
    await opened.database.run("delete from upload_pipeline.documents");
    const jobs = await Promise.all(Array.from({ length: 20 }, () => createQueuedJob(opened.database, { user_id })));
    const claims = await Promise.all(jobs.map(() => claimOne(opened.database)));
    const steps = claims.map((claim) => {
      return { ...claim, from: "uploaded" as const, to: "parsing" as const, progress: {}, detail: {} };
    });
    const other = opened.openAnother();
    const deletions = claims.map((claim) => other.transaction((tx) => deleteDocument(tx, claim)));
    await Promise.all([advanceJobs(opened.database, steps), ...deletions]);
    expect(await opened.database.run("select from upload_pipeline.upload_jobs where user_id = $1", [user_id])).toBe(0);
  },
);
