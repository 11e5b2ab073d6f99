import { randomUUID } from "node:crypto";
import { AppError } from "@pipeline/runtime";
import { afterAll, beforeAll, expect, test } from "vitest";
import { advanceJobs, failJob, holdJob, parkJob, releaseJob, reportProgress } from "./checkpoints.ts";
import { claimJobs } from "./claims.ts";
import { rescueJobs } from "./queue.ts";
import type { Queryable } from "./queryable.ts";
import type { Claim, Hold } from "./rows.ts";
import { endSession } from "./sessions.ts";
import { createSession, observeJob, openTestDatabase, queueInBulk, type TestDatabase } from "./testing/index.ts";

let opened: TestDatabase;
beforeAll(async () => {
  opened = await openTestDatabase();
});
afterAll(() => opened.close());

const error = new AppError({ kind: "permanent", code: "test", message: "Test." });

/** Each answers whether it was accepted. */
const WRITES: readonly ((db: Queryable, hold: Hold) => Promise<boolean>)[] = [
  async (db, hold) => {
    const checkpoint = { ...hold, from: "uploaded", to: "parsing", progress: { pages_done: 9 }, detail: {} } as const;
    return (await advanceJobs(db, [checkpoint])).size > 0;
  },
  async (db, hold) => (await failJob(db, hold, { stage: "verify", error, maxRetries: 3, delayMs: 0 })) !== undefined,
  async (db, hold) => (await parkJob(db, hold, { waiting_for: "upload", delayMs: 0 })) !== undefined,
  async (db, hold) => (await releaseJob(db, hold)) !== undefined,
  holdJob,
  (db, hold) => reportProgress(db, hold, { pages_done: 9 }),
];
const JOBS = 84;

test("of a thousand writes by workers that lost their claims none is accepted, and nothing changes", async () => {
  await queueInBulk(opened.database, { user_id: randomUUID(), count: JOBS });
  const stale = [...(await claimAndLose()), ...(await claimAndLose())];
  const current = await claimAll(await createSession(opened.database));
  const before = await readAll(current);
  let tries = 0;
  let accepted = 0;
  for (const hold of stale) {
    for (const write of WRITES) {
      tries += 1;
      if (await opened.database.transaction((tx) => write(tx, hold))) accepted += 1;
    }
  }
  expect(tries).toBeGreaterThan(1_000);
  expect(accepted).toBe(0);
  expect(await readAll(current)).toEqual(before);
});

test("of the same writes by the workers that hold the jobs all are accepted", async () => {
  await opened.database.run("delete from upload_pipeline.documents");
  await queueInBulk(opened.database, { user_id: randomUUID(), count: WRITES.length });
  const current = await claimAll(await createSession(opened.database));
  const accepted = [];
  for (const [index, write] of WRITES.entries()) {
    const hold = current[index];
    if (hold) accepted.push(await opened.database.transaction((tx) => write(tx, hold)));
  }
  expect(accepted).toEqual(WRITES.map(() => true));
});

function claimAll(session_id: string): Promise<Claim[]> {
  return claimJobs(opened.database, { session_id, limit: JOBS });
}

/** Claims of a worker that died, its jobs back in the queue. */
async function claimAndLose(): Promise<Claim[]> {
  const session_id = await createSession(opened.database);
  const claims = await claimAll(session_id);
  expect(claims).toHaveLength(JOBS);
  await endSession(opened.database, session_id);
  expect(await rescueJobs(opened.database, { maxCrashes: 99 })).toHaveLength(JOBS);
  return claims;
}

async function readAll(claims: readonly Claim[]) {
  const seen = [];
  for (const { job_id } of claims) seen.push(await observeJob(opened.database, job_id));
  return seen;
}
