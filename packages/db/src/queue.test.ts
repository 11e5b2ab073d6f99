import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, expect, it, test } from "vitest";
import { cancelJob } from "./cancel.ts";
import { advanceJobs, parkJob, releaseJob } from "./checkpoints.ts";
import { claimJobs } from "./claims.ts";
import { STAGES } from "./pipeline.ts";
import { promoteDueJobs, rescueJobs } from "./queue.ts";
import { redriveJobs } from "./redrive.ts";
import type { Claim } from "./rows.ts";
import { endSession } from "./sessions.ts";
import {
  claimOne,
  createQueuedJob,
  createSession,
  createUpload,
  hasParallelConnections,
  insertJobInState,
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
beforeEach(async () => {
  await opened.database.run(
    "truncate upload_pipeline.documents, upload_pipeline.events, upload_pipeline.user_turns, upload_pipeline.worker_sessions cascade",
  );
  await opened.database.run("alter sequence upload_pipeline.served_turn restart");
});

function queueMany(user_id: string, count: number): Promise<void> {
  return queueInBulk(opened.database, { user_id, count });
}

async function claim(limit: number): Promise<Claim[]> {
  return claimJobs(opened.database, { session_id: await createSession(opened.database), limit });
}

function makeDue(jobId: string): Promise<number> {
  return opened.database.run(
    "update upload_pipeline.upload_jobs set due_at = now() - interval '1 second' where job_id = $1",
    [jobId],
  );
}

function expireSession(sessionId: string): Promise<number> {
  return opened.database.run(
    "update upload_pipeline.worker_sessions set expires_at = now() - interval '1 second' where session_id = $1",
    [sessionId],
  );
}

test("a claim carries what a worker needs and leases the job for its stage", async () => {
  const { job, document } = await createQueuedJob(opened.database);
  const claimed = await claimOne(opened.database);
  expect(claimed).toMatchObject({
    job_id: job.job_id,
    document_id: document.document_id,
    user_id: document.user_id,
    correlation_id: job.correlation_id,
    status: "uploaded",
    fence: 1,
    generation: 1,
    retry_count: 0,
    upload_is_expired: false,
    filename: document.filename,
    bytes_len: document.bytes_len,
    file_sha256: document.file_sha256,
    raw_path: document.raw_path,
  });
  expect(await readJob(opened.database, job.job_id)).toMatchObject({
    state: "working",
    fence: 1,
    lease_session_id: expect.any(String),
    lease_expires_at: expect.any(Date),
  });
});

test("one user's fifty files delay another's single file by no more than the files in hand", async () => {
  const [crowd, single] = [randomUUID(), randomUUID()];
  await queueMany(crowd, 50);
  const inHand = await claim(10);
  await queueMany(single, 1);
  const next = await claim(2);
  expect(inHand.map((row) => row.user_id)).toEqual(Array.from({ length: 10 }, () => crowd));
  expect(next.map((row) => row.user_id)).toContain(single);
});

test("users with equal queues are served in turn", async () => {
  const [first, second] = [randomUUID(), randomUUID()];
  await queueMany(first, 4);
  await queueMany(second, 4);
  const claimed = await claim(8);
  for (let turn = 0; turn < 4; turn++) {
    const users = claimed.slice(turn * 2, turn * 2 + 2).map((row) => row.user_id);
    expect(new Set(users)).toEqual(new Set([first, second]));
  }
});

test("files of days past do not count against a user", async () => {
  const [regular, crowd] = [randomUUID(), randomUUID()];
  await queueMany(regular, 30);
  await claim(30);
  await queueMany(crowd, 20);
  await queueMany(regular, 1);
  const next = await claim(3);
  expect(next.map((row) => row.user_id)).toContain(regular);
});

test("promises made long ago and confirmed together do not overtake everybody", async () => {
  const [hoarder, other] = [randomUUID(), randomUUID()];
  for (let made = 0; made < 20; made++) await createUpload(opened.database, { user_id: hoarder });
  await queueMany(other, 10);
  await claim(5);
  await opened.database.run("update upload_pipeline.upload_jobs set due_at = now() where state = 'waiting'");
  await promoteDueJobs(opened.database);
  const next = await claim(6);
  expect(next.filter((row) => row.user_id === other).length).toBeGreaterThanOrEqual(2);
});

test("a user's many retries come back one per turn", async () => {
  const [crowd, single] = [randomUUID(), randomUUID()];
  await queueMany(crowd, 10);
  const claimed = await claim(10);
  for (const row of claimed) {
    await parkJob(opened.database, row, { waiting_for: "parser", delayMs: 0 });
  }
  await promoteDueJobs(opened.database);
  await queueMany(single, 1);
  const next = await claim(2);
  expect(next.map((row) => row.user_id)).toContain(single);
});

test("retries that come due one after the other come back one per turn as well", async () => {
  const [crowd, single] = [randomUUID(), randomUUID()];
  await queueMany(crowd, 10);
  const claimed = await claim(10);
  for (const row of claimed) {
    await parkJob(opened.database, row, { waiting_for: "parser", delayMs: 0 });
    expect(await promoteDueJobs(opened.database)).toBe(1);
  }
  await queueMany(single, 1);
  const next = await claim(2);
  expect(next.map((row) => row.user_id)).toContain(single);
});

test.each([
  ["cancelled", "update upload_pipeline.upload_jobs set state = 'cancelled', finished_at = now() where user_id = $1"],
  ["deleted", "delete from upload_pipeline.documents where user_id = $1"],
])("queued files that were %s do not put off those that their user sends next", async (_, callOff) => {
  const [hasty, other] = [randomUUID(), randomUUID()];
  await queueMany(hasty, 20);
  await opened.database.run(callOff, [hasty]);
  await queueMany(other, 10);
  await queueMany(hasty, 1);
  const next = await claim(2);
  expect(next.map((row) => row.user_id)).toContain(hasty);
});

test("a file that is sent after others were cancelled comes behind those that are left", async () => {
  const [user, other] = [randomUUID(), randomUUID()];
  await queueMany(user, 4);
  await opened.database.run(
    `update upload_pipeline.upload_jobs set state = 'cancelled', finished_at = now()
     where seq > (select min(seq) + 1 from upload_pipeline.upload_jobs)`,
  );
  await queueMany(user, 1);
  await queueMany(other, 3);
  const next = await claim(6);
  const places = next.flatMap((row, place) => (row.user_id === user ? [place >> 1] : []));
  expect(places).toEqual([0, 1, 2]);
});

test("priority decides within a turn and not between turns", async () => {
  const urgentUser = randomUUID();
  const [early, late] = [randomUUID(), randomUUID()];
  const first = await createQueuedJob(opened.database, { user_id: early });
  const urgent = await createQueuedJob(opened.database, { user_id: urgentUser });
  const second = await createQueuedJob(opened.database, { user_id: urgentUser });
  const third = await createQueuedJob(opened.database, { user_id: late });
  await opened.database.run("update upload_pipeline.upload_jobs set priority = 1 where user_id = $1", [urgentUser]);
  const claimed = await claim(4);
  const ids = [urgent, first, third, second].map((upload) => upload.job.job_id);
  expect(claimed.map((row) => row.job_id)).toEqual(ids);
});

test("a claim takes no more than its limit, and the rest stays queued", async () => {
  await queueMany(randomUUID(), 5);
  expect(await claim(3)).toHaveLength(3);
  expect(await claim(3)).toHaveLength(2);
  expect(await claim(3)).toEqual([]);
});

test.each([
  ["expired", expireSession],
  ["ended", (id: string) => endSession(opened.database, id)],
])("a session that has %s claims nothing", async (_how, stop) => {
  await queueMany(randomUUID(), 1);
  const session_id = await createSession(opened.database);
  await stop(session_id);
  expect(await claimJobs(opened.database, { session_id, limit: 1 })).toEqual([]);
  expect(await claimJobs(opened.database, { session_id: randomUUID(), limit: 1 })).toEqual([]);
});

test("waiting jobs are not claimed before they are due", async () => {
  const { job } = await createUpload(opened.database);
  expect(await promoteDueJobs(opened.database)).toBe(0);
  expect(await claim(1)).toEqual([]);
  await makeDue(job.job_id);
  expect(await promoteDueJobs(opened.database)).toBe(1);
  expect(await readJob(opened.database, job.job_id)).toMatchObject({
    state: "queued",
    due_at: null,
    waiting_for: null,
  });
  expect(await claim(1)).toHaveLength(1);
});

test("promotion takes no more than its limit, the longest due first", async () => {
  const ids: string[] = [];
  for (const minutes of [1, 3, 2]) {
    const id = await insertJobInState(opened.database, { state: "retryable", status: "parsing" });
    await opened.database.run(
      "update upload_pipeline.upload_jobs set due_at = now() - $2 * interval '1 minute' where job_id = $1",
      [id, minutes],
    );
    ids.push(id);
  }
  expect(await promoteDueJobs(opened.database, 2)).toBe(2);
  const states = await Promise.all(ids.map(async (id) => (await readJob(opened.database, id)).state));
  expect(states).toEqual(["retryable", "queued", "queued"]);
});

it.skipIf(!hasParallelConnections())("claimers in parallel never share a job: needs two connections", async () => {
  const promises = Array.from({ length: 4 }, async () => queueMany(randomUUID(), 75));
  await Promise.all(promises);
  const databases = [opened.database, opened.openAnother(), opened.openAnother(), opened.openAnother()];
  const all = await Promise.all(
    databases.map(async (database) => {
      const session_id = await createSession(database);
      const mine: string[] = [];
      for (;;) {
        const rows = await claimJobs(database, { session_id, limit: 7 });
        if (rows.length === 0) return mine;
        mine.push(...rows.map((row) => row.job_id));
      }
    }),
  );
  // A claimer may come back empty while another holds the last rows; nothing may be taken twice or be left over.
  const rest = await claim(300);
  const taken = [...all.flat(), ...rest.map((row) => row.job_id)];
  expect(taken).toHaveLength(300);
  expect(new Set(taken).size).toBe(300);
});

it.skipIf(!hasParallelConnections())(
  "promoters and confirmers in parallel neither lose a job nor deadlock: needs two connections",
  async () => {
    const users = Array.from({ length: 6 }, () => randomUUID());
    for (const user_id of users) {
      for (let made = 0; made < 10; made++) await createUpload(opened.database, { user_id });
    }
    await opened.database.run("update upload_pipeline.upload_jobs set due_at = now()");
    const databases = [opened.database, opened.openAnother(), opened.openAnother()];
    const promoted = await Promise.all(
      databases.map(async (database) => {
        let total = 0;
        for (let round = 0; round < 20; round++) total += await promoteDueJobs(database, 4);
        return total;
      }),
    );
    const rest = await promoteDueJobs(opened.database);
    expect(promoted.reduce((sum, count) => sum + count, rest)).toBe(60);
    const claimed = await claim(60);
    expect(new Set(claimed.slice(0, 6).map((row) => row.user_id)).size).toBe(6);
  },
);

test("a dead worker's jobs go back in line with a higher fence and an event", async () => {
  const { job } = await createQueuedJob(opened.database);
  const session_id = await createSession(opened.database);
  await claimOne(opened.database, session_id);
  expect(await rescueJobs(opened.database, { maxCrashes: 3 })).toEqual([]);
  await expireSession(session_id);
  expect(await rescueJobs(opened.database, { maxCrashes: 3 })).toEqual([{ job_id: job.job_id, state: "queued" }]);
  expect(await readJob(opened.database, job.job_id)).toMatchObject({
    state: "queued",
    fence: 2,
    crash_count: 1,
    lease_session_id: null,
  });
  expect(await readHistory(opened.database, job.job_id)).toContain("rescued:uploaded");
  expect(await rescueJobs(opened.database, { maxCrashes: 3 })).toEqual([]);
});

test("a stage past its deadline is taken from a worker that is alive", async () => {
  const { job } = await createQueuedJob(opened.database);
  await claimOne(opened.database);
  await opened.database.run("update upload_pipeline.upload_jobs set lease_expires_at = now() where job_id = $1", [
    job.job_id,
  ]);
  expect(await rescueJobs(opened.database, { maxCrashes: 3 })).toEqual([{ job_id: job.job_id, state: "queued" }]);
});

test("a rescue takes no more than its limit", async () => {
  await queueMany(randomUUID(), 3);
  const session_id = await createSession(opened.database);
  await claimJobs(opened.database, { session_id, limit: 3 });
  await endSession(opened.database, session_id);
  expect(await rescueJobs(opened.database, { maxCrashes: 3, limit: 2 })).toHaveLength(2);
  expect(await rescueJobs(opened.database, { maxCrashes: 3, limit: 2 })).toHaveLength(1);
});

test("a job that costs three workers on one stage is dead-lettered as poison", async () => {
  const { job } = await createQueuedJob(opened.database);
  for (const state of ["queued", "queued", "deadletter"]) {
    const session_id = await createSession(opened.database);
    await claimOne(opened.database, session_id);
    await expireSession(session_id);
    expect(await rescueJobs(opened.database, { maxCrashes: 3 })).toEqual([{ job_id: job.job_id, state }]);
  }
  expect(await readJob(opened.database, job.job_id)).toMatchObject({
    state: "deadletter",
    crash_count: 3,
    last_error: { stage: "verify", code: "poison_job", retryable: false, at: expect.any(String) },
  });
  expect(await readHistory(opened.database, job.job_id)).toContain("deadlettered:uploaded");
});

test("the last loss counts only if the worker had nothing else in hand, but the fifth does whatever was beside it", async () => {
  const { job } = await createQueuedJob(opened.database);
  const setCrashes = (count: number) =>
    opened.database.run("update upload_pipeline.upload_jobs set crash_count = $2 where job_id = $1", [
      job.job_id,
      count,
    ]);
  for (const state of ["queued", "queued", "queued", "queued", "deadletter"]) {
    const neighbour = await createQueuedJob(opened.database);
    const session_id = await createSession(opened.database);
    // Who is no suspect is claimed along with others.
    await setCrashes(0);
    expect(await claimJobs(opened.database, { session_id, limit: 2 })).toHaveLength(2);
    await setCrashes(2);
    await expireSession(session_id);
    const rescued = await rescueJobs(opened.database, { maxCrashes: 3 });
    const expected = [
      { job_id: job.job_id, state },
      { job_id: neighbour.job.job_id, state: "queued" },
    ];
    expect(rescued).toHaveLength(2);
    expect(rescued).toEqual(expect.arrayContaining(expected));
    expect(await readJob(opened.database, job.job_id)).toMatchObject({ crash_count: state === "queued" ? 2 : 3 });
    expect(await readJob(opened.database, neighbour.job.job_id)).toMatchObject({ crash_count: 1 });
    await cancelJob(opened.database, { job_id: neighbour.job.job_id, correlation_id: "test" });
  }
});

/** A worker takes the job and is lost while the server is away. Answers what the rescue makes of it. */
async function loseInOutage(job_id: string): Promise<{ state: unknown; crash_count: unknown }> {
  const session_id = await createSession(opened.database);
  await claimOne(opened.database, session_id);
  await opened.database.run(
    `update upload_pipeline.worker_sessions
     set heartbeat_at = pg_postmaster_start_time() - interval '1 second', expires_at = now() where session_id = $1`,
    [session_id],
  );
  const [rescued] = await rescueJobs(opened.database, { maxCrashes: 3 });
  return { state: rescued?.state, crash_count: (await readJob(opened.database, job_id)).crash_count };
}

test("a loss while the server was away counts only after four others, since the last redrive", async () => {
  const { job } = await createQueuedJob(opened.database);
  const free = { state: "queued", crash_count: 0 };
  for (let round = 1; round <= 2; round += 1) {
    const counts: unknown[] = [];
    for (let loss = 1; loss <= 7; loss += 1) counts.push(await loseInOutage(job.job_id));
    const counted = [1, 2].map((crash_count) => ({ state: "queued", crash_count }));
    expect(counts).toEqual([free, free, free, free, ...counted, { state: "deadletter", crash_count: 3 }]);
    await redriveJobs(opened.database, { filter: { limit: 1 }, correlation_id: "test" });
  }
});

test("sessions that their own processes ended do not use up what outages may cost", async () => {
  const { job } = await createQueuedJob(opened.database);
  for (let round = 0; round < 4; round += 1) {
    const session_id = await createSession(opened.database);
    await claimOne(opened.database, session_id);
    await endSession(opened.database, session_id);
    await rescueJobs(opened.database, { maxCrashes: 3 });
  }
  expect(await loseInOutage(job.job_id)).toEqual({ state: "queued", crash_count: 0 });
});

test("a job that kills its workers takes none of its neighbours with it", async () => {
  await queueMany(randomUUID(), 12);
  const [poison, ...neighbours] = (await claim(4)).map((each) => each.job_id);
  const lost = new Map<string, number>();
  const die = async (session_id: string): Promise<void> => {
    await expireSession(session_id);
    for (const { job_id, state } of await rescueJobs(opened.database, { maxCrashes: 3 })) {
      lost.set(job_id, (lost.get(job_id) ?? 0) + 1);
      expect(state).toBe(job_id === poison && lost.get(job_id) === 3 ? "deadletter" : "queued");
    }
    // As long after the rescue as a suspect is ever kept waiting.
    await opened.database.run(
      "update upload_pipeline.upload_jobs set updated_at = now() - interval '1 minute' where state = 'queued'",
    );
  };
  await opened.database.run("update upload_pipeline.worker_sessions set expires_at = now()");
  await die(randomUUID());
  // A worker like any other: four slots, filled again and again; whoever has the poison job in hand dies.
  for (let round = 0; round < 40; round += 1) {
    const session_id = await createSession(opened.database);
    const claims = await claimJobs(opened.database, { session_id, limit: 4 });
    if (claims.some((each) => each.job_id === poison)) await die(session_id);
    else for (const each of claims) await finish(each);
  }
  expect(await readJob(opened.database, poison ?? "")).toMatchObject({ state: "deadletter", crash_count: 3 });
  for (const job_id of neighbours) expect(await readJob(opened.database, job_id)).toMatchObject({ state: "done" });
});

/** As a worker that has run every stage. */
async function finish(job: Claim): Promise<void> {
  for (const { from, to } of STAGES) {
    await advanceJobs(opened.database, [{ ...job, from, to, progress: {}, detail: {} }]);
  }
}

test("lists of claims leave when none of their jobs is held any more", async () => {
  await queueMany(randomUUID(), 6);
  const count = () => opened.database.run("select from upload_pipeline.session_claims");
  const session_id = await createSession(opened.database);
  const [first, second] = await claimJobs(opened.database, { session_id, limit: 2 });
  await claimJobs(opened.database, { session_id, limit: 2 });
  if (!first || !second) throw new Error("nothing was claimed");
  await finish(first);
  await rescueJobs(opened.database, { maxCrashes: 3 });
  expect(await count()).toBe(2);
  await releaseJob(opened.database, second);
  await rescueJobs(opened.database, { maxCrashes: 3 });
  expect(await count()).toBe(1);
  await expireSession(session_id);
  await rescueJobs(opened.database, { maxCrashes: 3 });
  await rescueJobs(opened.database, { maxCrashes: 3 });
  expect(await count()).toBe(0);
});

test("a session that ended without its jobs costs them no crash", async () => {
  const { job } = await createQueuedJob(opened.database);
  for (let round = 0; round < 4; round++) {
    const session_id = await createSession(opened.database);
    await claimOne(opened.database, session_id);
    await endSession(opened.database, session_id);
    expect(await rescueJobs(opened.database, { maxCrashes: 3 })).toEqual([{ job_id: job.job_id, state: "queued" }]);
  }
  expect(await readJob(opened.database, job.job_id)).toMatchObject({ crash_count: 0, fence: 8 });
});

test("nothing is claimed while claiming is paused", async () => {
  await createQueuedJob(opened.database);
  const session_id = await createSession(opened.database);
  await opened.database.run("update upload_pipeline.queue_control set paused_at = now()");
  expect(await claimJobs(opened.database, { session_id, limit: 1 })).toEqual([]);
  await opened.database.run("update upload_pipeline.queue_control set paused_at = null");
  expect(await claimJobs(opened.database, { session_id, limit: 1 })).toHaveLength(1);
});

test("a job's history goes with it, however it is deleted", async () => {
  const { document, job } = await createQueuedJob(opened.database);
  const kept = await createQueuedJob(opened.database);
  await opened.database.run("delete from upload_pipeline.documents where document_id = $1", [document.document_id]);
  expect(await readHistory(opened.database, job.job_id)).toEqual([]);
  expect(await readHistory(opened.database, kept.job.job_id)).not.toEqual([]);
});

test("progress forgives crashes", async () => {
  const { job } = await createQueuedJob(opened.database);
  const session_id = await createSession(opened.database);
  await claimOne(opened.database, session_id);
  await expireSession(session_id);
  await rescueJobs(opened.database, { maxCrashes: 2 });
  const again = await claimOne(opened.database);
  await advanceJobs(opened.database, [{ ...again, from: "uploaded", to: "parsing", progress: {}, detail: {} }]);
  expect(await readJob(opened.database, job.job_id)).toMatchObject({ crash_count: 0 });
});
