import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { releaseJob } from "./checkpoints.ts";
import { endSession, getWorkerHealth, heartbeat, listLostClaims } from "./sessions.ts";
import { claimOne, createQueuedJob, createSession, openTestDatabase, type TestDatabase } from "./testing/index.ts";

let opened: TestDatabase;
beforeAll(async () => {
  opened = await openTestDatabase();
});
afterAll(() => opened.close());

function expire(sessionId: string): Promise<number> {
  return opened.database.run(
    "update upload_pipeline.worker_sessions set expires_at = now() - interval '1 ms' where session_id = $1",
    [sessionId],
  );
}

test("a heartbeat prolongs a live session", async () => {
  const session_id = await createSession(opened.database, 1_000);
  expect(await heartbeat(opened.database, { session_id, leaseMs: 60_000 })).toBe(true);
});

test("a session that expired never lives again", async () => {
  const session_id = await createSession(opened.database);
  await expire(session_id);
  expect(await heartbeat(opened.database, { session_id, leaseMs: 60_000 })).toBe(false);
  expect(await heartbeat(opened.database, { session_id, leaseMs: 60_000 })).toBe(false);
});

test("a session that was ended, or never was, does not beat", async () => {
  const session_id = await createSession(opened.database);
  await endSession(opened.database, session_id);
  await endSession(opened.database, session_id);
  expect(await heartbeat(opened.database, { session_id, leaseMs: 60_000 })).toBe(false);
  expect(await heartbeat(opened.database, { session_id: randomUUID(), leaseMs: 60_000 })).toBe(false);
});

test("a worker learns which of its claims are lost", async () => {
  const holds = [];
  for (let made = 0; made < 3; made++) {
    await createQueuedJob(opened.database);
    const { job_id, fence } = await claimOne(opened.database);
    holds.push({ job_id, fence });
  }
  const [kept, released, reclaimed] = holds;
  if (!kept || !released || !reclaimed) throw new Error("unreachable");
  await releaseJob(opened.database, reclaimed);
  await claimOne(opened.database);
  await releaseJob(opened.database, released);
  const unknown = { job_id: randomUUID(), fence: 1 };

  const lost = await listLostClaims(opened.database, [...holds, unknown]);

  expect(lost).toEqual(new Set([released.job_id, reclaimed.job_id, unknown.job_id]));
  expect(await listLostClaims(opened.database, [])).toEqual(new Set());
});

test("health counts the workers that are alive", async () => {
  await opened.database.run("delete from upload_pipeline.worker_sessions");
  expect(await getWorkerHealth(opened.database)).toEqual({ live_count: 0, last_heartbeat_at: null });
  const [, ended, expired] = [
    await createSession(opened.database),
    await createSession(opened.database),
    await createSession(opened.database),
  ];
  await endSession(opened.database, ended);
  await expire(expired);
  expect(await getWorkerHealth(opened.database)).toEqual({ live_count: 1, last_heartbeat_at: expect.any(Date) });
});
