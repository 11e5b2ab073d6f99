import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, expect, it, onTestFinished, test, vi } from "vitest";
import { z } from "zod";
import { cancelJob } from "./cancel.ts";
import { releaseJob } from "./checkpoints.ts";
import { claimJobs, type Claimer, createClaimer } from "./claims.ts";
import type { Database } from "./database.ts";
import { retryJob } from "./redrive.ts";
import type { Claim } from "./rows.ts";
import {
  createQueuedJob,
  createSession,
  hasParallelConnections,
  interceptStatements,
  openTestDatabase,
  queueInBulk,
  type TestDatabase,
} from "./testing/index.ts";

let opened: TestDatabase;
beforeAll(async () => {
  opened = await openTestDatabase();
});
afterAll(() => opened.close());
beforeEach(async () => {
  await opened.database.run(
    "truncate upload_pipeline.documents, upload_pipeline.user_turns, upload_pipeline.capped_turns, upload_pipeline.worker_sessions cascade",
  );
  await opened.database.run("alter sequence upload_pipeline.served_turn restart");
});

function queue(user_id: string, count: number): Promise<void> {
  return queueInBulk(opened.database, { user_id, count });
}

function countByUser(claims: readonly Claim[]): Map<string, number> {
  return new Map([...Map.groupBy(claims, (claim) => claim.user_id)].map(([user, own]) => [user, own.length]));
}

/** Claims under a cap, by a session of its own unless one is given. */
async function claimCapped(database: Database, input: { limit: number; maxPerUser: number }): Promise<Claim[]> {
  const session_id = await createSession(database);
  return database.transaction((tx) => claimJobs(tx, { ...input, session_id }));
}

test("under a cap no user has more in hand than it allows, over all workers, and others fill the slots", async () => {
  const [noisy, quiet] = [randomUUID(), randomUUID()];
  await queue(noisy, 30);
  await queue(quiet, 3);
  const first = await claimCapped(opened.database, { limit: 10, maxPerUser: 4 });
  expect(countByUser(first)).toEqual(new Map([[noisy, 4], [quiet, 3]])); // prettier-ignore
  expect(await claimCapped(opened.database, { limit: 10, maxPerUser: 4 })).toEqual([]);
  const given = first.find((claim) => claim.user_id === noisy);
  if (given) await releaseJob(opened.database, given);
  expect(countByUser(await claimCapped(opened.database, { limit: 10, maxPerUser: 4 }))).toEqual(new Map([[noisy, 1]]));
});

/** Serves a user's files until the turn that is served is this one. */
async function serveUntil(turn: number): Promise<void> {
  await opened.database.run("select setval('upload_pipeline.served_turn', $1)", [turn]);
}

/** Claims one after the other by one session, each ended before the next. */
async function serveOneByOne(input: { count: number; maxPerUser: number }): Promise<string[]> {
  const session_id = await createSession(opened.database);
  const users: string[] = [];
  for (let served = 0; served < input.count; served += 1) {
    const [claim] = await opened.database.transaction((tx) =>
      claimJobs(tx, { session_id, limit: 1, maxPerUser: input.maxPerUser }),
    );
    if (!claim) throw new Error("nothing was claimed");
    await cancelJob(opened.database, { job_id: claim.job_id, correlation_id: "test" });
    users.push(claim.user_id);
  }
  return users;
}

test("a backlog that lagged behind under a cap is level with newcomers when slots become fewer, or the cap is raised", async () => {
  const [noisy, newcomer, late] = [randomUUID(), randomUUID(), randomUUID()];
  await queue(noisy, 30);
  expect(await claimCapped(opened.database, { limit: 4, maxPerUser: 2 })).toHaveLength(2);
  await serveUntil(1_000);
  await queue(newcomer, 1);
  await queue(late, 3);
  const claims = await claimCapped(opened.database, { limit: 5, maxPerUser: 20 });
  expect(countByUser(claims)).toEqual(new Map([[noisy, 2], [newcomer, 1], [late, 2]])); // prettier-ignore
});

test("one slot serves users whose backlogs lag in turn, and a newcomer after one file of each at most", async () => {
  const users = Array.from({ length: 4 }, () => randomUUID());
  for (const user of users) await queue(user, 10);
  await serveUntil(1_000);
  const first = await serveOneByOne({ count: 8, maxPerUser: 2 });
  expect(first).toEqual([...users, ...users]);
  const newcomer = randomUUID();
  await queue(newcomer, 1);
  expect((await serveOneByOne({ count: 5, maxPerUser: 2 })).indexOf(newcomer)).toBeLessThan(5);
  const next = await serveOneByOne({ count: 4, maxPerUser: 2 });
  expect(new Set(next)).toEqual(new Set(users));
});

test("a user at the cap holds up no other, however long the backlog and however many such users there are", async () => {
  const noisy = Array.from({ length: 300 }, () => randomUUID());
  for (const user of noisy) await queue(user, 3);
  expect(await claimCapped(opened.database, { limit: 1_000, maxPerUser: 1 })).toHaveLength(300);
  const newcomer = randomUUID();
  await queue(newcomer, 2);
  await serveUntil(1_000);
  expect(countByUser(await claimCapped(opened.database, { limit: 3, maxPerUser: 1 }))).toEqual(
    new Map([[newcomer, 1]]),
  );
  expect(await claimCapped(opened.database, { limit: 3, maxPerUser: 1 })).toEqual([]);
});

test("of more users who lag than a claim walks through each is served in turn", async () => {
  // ids that differ in their ends alone, in the order of the walk
  const users = Array.from({ length: 270 }, (_, index) => `0198c5f0-0000-7000-8000-${String(index).padStart(12, "0")}`);
  for (const user of users) await queue(user, 2);
  await serveUntil(1_000);
  expect(new Set(await serveOneByOne({ count: 290, maxPerUser: 1 })).size).toBe(270);
});

test("a job that was cancelled and queued anew while a claim was under way is not taken by its old row", async () => {
  const { job } = await createQueuedJob(opened.database);
  const place = () =>
    opened.database.many(
      z.object({ turn: z.number(), priority: z.number(), seq: z.number(), fence: z.number() }),
      "select turn::int, priority, seq::int, fence::int from upload_pipeline.ready_jobs",
    );
  const [before] = await place();
  await cancelJob(opened.database, { job_id: job.job_id, correlation_id: "test" });
  await retryJob(opened.database, { job_id: job.job_id, correlation_id: "test" });
  const [after] = await place();
  // The claim compares fences, as the place may be the same.
  expect(after?.fence).toBeGreaterThan(before?.fence ?? 0);
});

test("a job that its session gave back and took again counts once", async () => {
  const user = randomUUID();
  await queue(user, 2);
  const session_id = await createSession(opened.database);
  const claim = (limit: number) =>
    opened.database.transaction((tx) => claimJobs(tx, { session_id, limit, maxPerUser: 2 }));
  const [given] = await claim(1);
  if (!given) throw new Error("nothing was claimed");
  await releaseJob(opened.database, given);
  expect(await claim(1)).toHaveLength(1);
  expect(await claim(2)).toHaveLength(1);
});

it.skipIf(!hasParallelConnections())(
  "claimers in parallel keep to the cap together: needs two connections",
  async () => {
    const users = [randomUUID(), randomUUID(), randomUUID()];
    for (const user of users) await queue(user, 40);
    const others = [opened.database, opened.openAnother(), opened.openAnother(), opened.openAnother()];
    const claims = await Promise.all(
      Array.from({ length: 24 }, (_, index) =>
        claimCapped(others[index % others.length] ?? opened.database, { limit: 3, maxPerUser: 5 }),
      ),
    );
    expect(countByUser(claims.flat())).toEqual(new Map(users.map((user) => [user, 5])));
  },
);

/** A claimer and the turns from which its claims looked. */
function watchedClaimer(): { claimer: Claimer; starts: unknown[] } {
  const starts: unknown[] = [];
  const claimer = createClaimer(
    interceptStatements(opened.database, (statement, send) => {
      if (statement.sql.includes("claim_jobs")) starts.push(statement.parameters[3]);
      return send();
    }),
  );
  return { claimer, starts };
}

/** Queues a job in front of all others. */
async function queueInFront(): Promise<string> {
  const { job } = await createQueuedJob(opened.database);
  await opened.database.run("update upload_pipeline.upload_jobs set turn = 1, priority = 1 where job_id = $1", [
    job.job_id,
  ]);
  return job.job_id;
}

test("a claimer goes on at the turn of its last claim, and starts over for the rest of a claim that comes short", async () => {
  await queue(randomUUID(), 9);
  const { claimer, starts } = watchedClaimer();
  const session_id = await createSession(opened.database);
  const first = await claimer.claim({ session_id, limit: 3 });
  const second = await claimer.claim({ session_id, limit: 3 });
  const inFront = await queueInFront();
  const third = await claimer.claim({ session_id, limit: 9 });
  expect(starts).toEqual([0, first.at(-1)?.turn, second.at(-1)?.turn, 0]);
  expect(third).toHaveLength(4);
  expect(third.at(-1)?.job_id).toBe(inFront);
});

test("a claimer overlooks what came before its turn for no longer than a second", async () => {
  vi.useFakeTimers({ toFake: ["performance"] });
  onTestFinished(() => void vi.useRealTimers());
  await queue(randomUUID(), 9);
  const { claimer } = watchedClaimer();
  const session_id = await createSession(opened.database);
  await claimer.claim({ session_id, limit: 3 });
  const inFront = await queueInFront();
  const [overlooking] = await claimer.claim({ session_id, limit: 1 });
  expect(overlooking?.job_id).not.toBe(inFront);
  vi.advanceTimersByTime(1_001);
  const [starting] = await claimer.claim({ session_id, limit: 1 });
  expect(starting?.job_id).toBe(inFront);
});

/** Queued jobs of one user that have lost workers. */
async function queueSuspects(input: { count: number; crashes: number }): Promise<void> {
  const user = randomUUID();
  await queue(user, input.count);
  await opened.database.run("update upload_pipeline.upload_jobs set crash_count = $2 where user_id = $1", [
    user,
    input.crashes,
  ]);
}

/** Claims as if the workers of all queued suspects had died so long ago; in one transaction time stands still. */
async function openSessionClaiming(): Promise<(waited: string) => Promise<number>> {
  const session_id = await createSession(opened.database);
  return (waited) =>
    opened.database.transaction(async (tx) => {
      await tx.run("update upload_pipeline.upload_jobs set updated_at = now() - $1::interval where state = 'queued'", [
        waited,
      ]);
      return (await claimJobs(tx, { session_id, limit: 5 })).length;
    });
}

function countInHand(): Promise<{ crash_count: number; count: number }[]> {
  return opened.database.many(
    z.object({ crash_count: z.number(), count: z.number() }),
    `select crash_count, count(*)::int as count from upload_pipeline.upload_jobs where state = 'working'
     group by crash_count order by crash_count`,
  );
}

/** Jobs in hand come through their stage, which clears them of suspicion. */
async function passStage({ crashes }: { crashes: number }): Promise<void> {
  await opened.database.run(
    "update upload_pipeline.upload_jobs set crash_count = 0 where state = 'working' and crash_count = $1",
    [crashes],
  );
}

test("a job whose worker died waits for a session without another such job, and not for long", async () => {
  await queueSuspects({ count: 4, crashes: 1 });
  const [one, other] = [await openSessionClaiming(), await openSessionClaiming()];
  expect([await one("0 s"), await one("0 s"), await other("0 s")]).toEqual([1, 0, 1]);
  expect(await one("1.499 s")).toBe(0);
  expect(await one("1.5 s")).toBe(2);
});

test("a job that two workers died on is taken alone by an idle worker, which takes nothing beside it", async () => {
  const claim = await openSessionClaiming();
  await queueSuspects({ count: 2, crashes: 2 });
  await queue(randomUUID(), 3);
  expect(await claim("0 s")).toBe(1);
  expect(await countInHand()).toEqual([{ crash_count: 2, count: 1 }]);
  expect(await claim("1 h")).toBe(0);
  await passStage({ crashes: 2 });
  expect(await claim("0 s")).toBe(3);
});

test("half of the workers are left to other jobs", async () => {
  const sessions = [await openSessionClaiming(), await openSessionClaiming(), await openSessionClaiming()];
  await queueSuspects({ count: 5, crashes: 2 });
  await queue(randomUUID(), 2);
  const taken: number[] = [];
  for (const claim of sessions) taken.push(await claim("0 s"));
  expect(taken).toEqual([1, 2, 0]);
});

test("an idle worker that has one such job for long takes others again", async () => {
  const claim = await openSessionClaiming();
  await queueSuspects({ count: 1, crashes: 2 });
  expect(await claim("0 s")).toBe(1);
  await queue(randomUUID(), 3);
  await opened.database.run("update upload_pipeline.worker_sessions set alone_until = alone_until - interval '30 s'");
  expect(await claim("0 s")).toBe(3);
});

test("a busy worker takes it after five seconds, with jobs that lost no worker", async () => {
  const claim = await openSessionClaiming();
  await queue(randomUUID(), 1);
  expect(await claim("0 s")).toBe(1);
  await queueSuspects({ count: 2, crashes: 2 });
  await queue(randomUUID(), 2);
  expect(await claim("4.999 s")).toBe(2);
  expect([await claim("5 s"), await claim("1 h")]).toEqual([1, 0]);
  await queueSuspects({ count: 1, crashes: 1 });
  expect([await claim("2.999 s"), await claim("3 s")]).toEqual([0, 1]);
});

test("a worker is not idle while an older session of it has jobs", async () => {
  const older = await openSessionClaiming();
  await queue(randomUUID(), 1);
  expect(await older("0 s")).toBe(1);
  const newer = await openSessionClaiming();
  await opened.database.run("update upload_pipeline.worker_sessions set hostname = 'one', pid = 7");
  await queueSuspects({ count: 1, crashes: 2 });
  expect([await newer("0 s"), await newer("5 s")]).toEqual([0, 1]);
});

test("a job that its user's cap keeps back holds up no idle worker", async () => {
  const [noisy, quiet] = [randomUUID(), randomUUID()];
  await queue(noisy, 4);
  expect(await claimCapped(opened.database, { limit: 3, maxPerUser: 3 })).toHaveLength(3);
  await opened.database.run("update upload_pipeline.upload_jobs set crash_count = 2 where state = 'queued'");
  await queue(quiet, 2);
  const claims = await claimCapped(opened.database, { limit: 5, maxPerUser: 3 });
  expect(countByUser(claims)).toEqual(new Map([[quiet, 2]]));
});

test("jobs that lost no worker go with one that lost one", async () => {
  await queueSuspects({ count: 2, crashes: 1 });
  const claim = await openSessionClaiming();
  expect(await claim("0 s")).toBe(1);
  await queue(randomUUID(), 3);
  expect(await claim("0 s")).toBe(3);
});
