import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parkJob } from "./checkpoints.ts";
import { claimJobs } from "./claims.ts";
import { queueParked } from "./provider-jobs.ts";
import { createQueuedJob, createSession, holdNow, openTestDatabase, type TestDatabase } from "./testing/index.ts";

let opened: TestDatabase;
beforeAll(async () => {
  opened = await openTestDatabase();
});
afterAll(() => opened.close());

test("many answers of the parser for one user, while no worker claims, delay another's single file by one", async () => {
  const user_id = randomUUID();
  const parked: string[] = [];
  for (let count = 0; count < 6; count++) {
    const { job } = await createQueuedJob(opened.database, { user_id });
    const hold = await holdNow(opened.database, job.job_id);
    await parkJob(opened.database, hold, { waiting_for: "parser", delayMs: 3_600_000 });
    parked.push(job.job_id);
  }
  for (const job_id of parked) expect(await queueParked(opened.database, { job_id })).toBe(true);
  const { job: single } = await createQueuedJob(opened.database);
  const session_id = await createSession(opened.database);
  const claimed = await claimJobs(opened.database, { session_id, limit: 7 });
  expect(claimed).toHaveLength(7);
  expect(claimed.findIndex((claim) => claim.job_id === single.job_id)).toBeLessThanOrEqual(1);
});
