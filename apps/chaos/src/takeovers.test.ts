import { claimJobs, openSession, rescueJobs } from "@pipeline/db";
import { createQueuedJob, openTestDatabase, type TestDatabase } from "@pipeline/db/testing";
import { afterEach, beforeEach, expect, test } from "vitest";
import { checkDatabase } from "./checks.ts";
import { createTakeovers, type Takeovers } from "./takeovers.ts";

let bench: TestDatabase;
let takeovers: Takeovers;
beforeEach(async () => {
  bench = await openTestDatabase();
  takeovers = createTakeovers(bench.database);
});
afterEach(() => bench.close());

const LOST_PID = 4_711;

async function claimAs(pid: number) {
  const session_id = await openSession(bench.database, { worker_name: "test", hostname: "here", pid, leaseMs: 60_000 });
  return { session_id, claims: await claimJobs(bench.database, { session_id, limit: 4 }) };
}

async function loseWorker(sessionId: string): Promise<void> {
  takeovers.watch({ kind: "kill", pid: LOST_PID, spawnedAt: new Date(0), lostAt: new Date() });
  await takeovers.poll();
  const { database } = bench;
  await database.run(`update ${database.schema}.worker_sessions set expires_at = now() where session_id = $1`, [
    sessionId,
  ]);
  await rescueJobs(database, { maxCrashes: 3 });
}

test("a lost worker's job is followed until another worker has it, and every stale write is refused on the way", async () => {
  const { job } = await createQueuedJob(bench.database);
  const lost = await claimAs(LOST_PID);
  await loseWorker(lost.session_id);
  await takeovers.poll();
  expect(await takeovers.settle()).toMatchObject([{ job_id: job.job_id, fence: 1, rescuedAt: expect.any(Date) }]);
  const next = await claimAs(LOST_PID + 1);
  expect(next.claims).toHaveLength(1);
  await takeovers.poll();
  const [claim] = await takeovers.settle();
  expect(claim?.takenAt).toBeInstanceOf(Date);
  // Six kinds of write, before and after the second claim.
  expect(takeovers.stale).toEqual({ tried: 12, accepted: [] });
});

test("a takeover counts from the next claim, even if that worker is lost before it makes a step", async () => {
  await createQueuedJob(bench.database);
  const first = await claimAs(LOST_PID);
  await loseWorker(first.session_id);
  const second = await claimAs(LOST_PID);
  const claimedBy = new Date();
  await loseWorker(second.session_id);
  await claimAs(LOST_PID + 1);
  await takeovers.poll();
  const [claim] = await takeovers.settle();
  expect(claim?.takenAt?.getTime()).toBeLessThanOrEqual(claimedBy.getTime());
});

test("a job that is still in a lost worker's name stays open", async () => {
  await createQueuedJob(bench.database);
  await claimAs(LOST_PID);
  takeovers.watch({ kind: "zombie", pid: LOST_PID, spawnedAt: new Date(0), lostAt: new Date(0) });
  await takeovers.poll();
  const [claim] = await takeovers.settle();
  expect(claim?.takenAt).toBeUndefined();
  expect(claim?.heldUntil.getTime()).toBeGreaterThan(0);
});

test("the checks name a document that is not complete and a poison one that lives", async () => {
  const { job } = await createQueuedJob(bench.database);
  const { job: poison } = await createQueuedJob(bench.database);
  const checks = await checkDatabase(bench.database, { jobIds: [job.job_id], poisonJobId: poison.job_id });
  const offending = (name: string) => checks.find(({ check }) => check === name)?.offending;
  expect(offending("complete")).toEqual([{ id: job.job_id, why: "queued at uploaded" }]);
  expect(offending("poison")).toEqual([{ id: poison.job_id, why: "queued " }]);
  expect(offending("made")).toEqual([]);
});
