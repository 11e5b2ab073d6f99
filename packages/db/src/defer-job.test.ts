import { AppError } from "@pipeline/runtime";
import { afterAll, beforeAll, expect, test } from "vitest";
import { claimJobs } from "./claims.ts";
import { deferJob } from "./defer-job.ts";
import { diagnose } from "./doctor.ts";
import { promoteDueJobs } from "./queue.ts";
import type { Claim } from "./rows.ts";
import { claimOne, createQueuedJob, createSession, openTestDatabase, readHistory, readJob } from "./testing/index.ts";
import type { TestDatabase } from "./testing/index.ts";

let opened: TestDatabase;
beforeAll(async () => {
  opened = await openTestDatabase();
});
afterAll(() => opened.close());

const reasonOf = (code: string) =>
  new AppError({ kind: "transient", code, message: "A test.", details: { scope: "user" } });

const defer = (claim: Claim, code: string) =>
  deferJob(opened.database, claim, { stage: "embed", error: reasonOf(code), delayMs: 60_000 });

/** The job in hand again, its time having come. */
async function claimAgain(jobId: string): Promise<Claim> {
  await opened.database.run("update upload_pipeline.upload_jobs set due_at = now() where job_id = $1", [jobId]);
  await promoteDueJobs(opened.database);
  const [claim] = await claimJobs(opened.database, { session_id: await createSession(opened.database), limit: 1 });
  if (claim?.job_id !== jobId) throw new Error("The job was not claimable.");
  return claim;
}

test("a deferred job tells why, comes back by itself, counts no attempt and tells each reason once", async () => {
  const { job } = await createQueuedJob(opened.database);
  expect(await defer(await claimOne(opened.database), "one_reason")).toBe(true);
  expect(await readJob(opened.database, job.job_id)).toMatchObject({
    state: "retryable",
    retry_count: 0,
    last_error: { stage: "embed", code: "one_reason", message: "A test.", retryable: true },
  });
  await defer(await claimAgain(job.job_id), "one_reason");
  await defer(await claimAgain(job.job_id), "another_reason");
  await defer(await claimAgain(job.job_id), "another_reason");
  const events = await readHistory(opened.database, job.job_id);
  expect(events.filter((line) => line === "retry_scheduled:uploaded")).toHaveLength(2);
  expect(await readJob(opened.database, job.job_id)).toMatchObject({ state: "retryable", retry_count: 0 });
  const faults = await diagnose(opened.database);
  expect(faults.filter((each) => each.severity === "error" && each.total > 0)).toEqual([]);
});

test("a claim that is lost defers nothing", async () => {
  const { job } = await createQueuedJob(opened.database);
  const claim = await claimOne(opened.database);
  expect(await defer({ ...claim, fence: claim.fence - 1 }, "one_reason")).toBe(false);
  expect(await readJob(opened.database, job.job_id)).toMatchObject({ state: "working" });
});
