import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, expect, it, test } from "vitest";
import { releaseJob } from "./checkpoints.ts";
import { claimJobs, createClaimer } from "./claims.ts";
import type { Database } from "./database.ts";
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
    "truncate upload_pipeline.documents, upload_pipeline.user_turns, upload_pipeline.worker_sessions cascade",
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

test("a claimer goes on behind its last claim, and misses nothing for longer than a second", async () => {
  await queue(randomUUID(), 9);
  const starts: unknown[] = [];
  const claimer = createClaimer(
    interceptStatements(opened.database, (statement, send) => {
      if (statement.sql.includes("ready_jobs")) starts.push(statement.parameters[5]);
      return send();
    }),
  );
  const session_id = await createSession(opened.database);
  const first = await claimer.claim({ session_id, limit: 3 });
  const second = await claimer.claim({ session_id, limit: 3 });
  // Before all that is left.
  const { job } = await createQueuedJob(opened.database);
  await opened.database.run("update upload_pipeline.upload_jobs set turn = 1, priority = 1 where job_id = $1", [
    job.job_id,
  ]);
  const third = await claimer.claim({ session_id, limit: 9 });
  const fourth = await claimer.claim({ session_id, limit: 3 });
  expect(starts).toEqual([0, first.at(-1)?.seq, second.at(-1)?.seq, 0]);
  expect(third).toHaveLength(3);
  expect(fourth.map((claim) => claim.job_id)).toEqual([job.job_id]);
});
