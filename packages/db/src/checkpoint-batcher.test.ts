import { randomUUID } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { afterAll, beforeAll, expect, it } from "vitest";
import { z } from "zod";
import { createCheckpointBatcher } from "./checkpoint-batcher.ts";
import type { Database } from "./database.ts";
import type { Queryable } from "./queryable.ts";
import { claimJobs } from "./claims.ts";
import type { Claim } from "./rows.ts";
import {
  createQueuedJob,
  createSession,
  openTestDatabase,
  queueInBulk,
  readHistory,
  type TestDatabase,
} from "./testing/index.ts";

let test: TestDatabase;
beforeAll(async () => {
  test = await openTestDatabase();
});
afterAll(() => test.close());

async function claim(database: Database, count: number) {
  for (let index = 0; index < count; index += 1) await createQueuedJob(database);
  return claimJobs(database, { session_id: await createSession(database), limit: count });
}

const verified = { from: "uploaded", to: "parsing", progress: {}, detail: {} } as const;

/** Counts the statements that go to the real database. */
function counting(database: Queryable): { database: Queryable; statements: () => number } {
  let count = 0;
  return {
    statements: () => count,
    database: {
      ...database,
      many: (row, sql, parameters) => {
        count += 1;
        return database.many(row, sql, parameters);
      },
    },
  };
}

it("many checkpoints at once are one statement, and those that come meanwhile the next", async () => {
  const claims = await claim(test.database, 40);
  const { database, statements } = counting(test.database);
  const batcher = createCheckpointBatcher(database);
  const first = claims.slice(0, 20).map((job) => batcher.advance({ ...job, ...verified }));
  const late = Promise.resolve(first[0]).then(() =>
    Promise.all(claims.slice(20).map((job) => batcher.advance({ ...job, ...verified }))),
  );
  expect(await Promise.all(first)).toEqual(Array.from({ length: 20 }, () => true));
  expect(await late).toEqual(Array.from({ length: 20 }, () => true));
  expect(statements()).toBe(2);
  for (const job of claims) expect((await readHistory(test.database, job.job_id)).at(-1)).toBe("status:parsing");
});

it("a lost claim is told so, and the others of its batch move", async () => {
  const [lost, ...held] = await claim(test.database, 3);
  if (!lost) throw new Error("nothing was claimed");
  const batcher = createCheckpointBatcher(test.database);
  const stale = { ...lost, fence: lost.fence - 1 };
  const answers = await Promise.all([stale, ...held].map((job) => batcher.advance({ ...job, ...verified })));
  expect(answers).toEqual([false, true, true]);
});

it("a stale claim is not taken for the newer one of the same job in the same batch", async () => {
  const [job] = await claim(test.database, 1);
  if (!job) throw new Error("nothing was claimed");
  const batcher = createCheckpointBatcher(test.database);
  const stale = batcher.advance({ ...job, ...verified, fence: job.fence - 1 });
  const current = batcher.advance({ ...job, ...verified });
  expect(await Promise.all([stale, current])).toEqual([false, true]);
});

it("a checkpoint that the database refuses fails alone", async () => {
  const [refused, ...held] = await claim(test.database, 3);
  if (!refused) throw new Error("nothing was claimed");
  const batcher = createCheckpointBatcher(test.database);
  const illegal = batcher.advance({ ...refused, ...verified, to: "chunking" });
  const legal = held.map((job) => batcher.advance({ ...job, ...verified }));
  await expect(illegal).rejects.toMatchObject({ code: "illegal_transition" });
  expect(await Promise.all(legal)).toEqual([true, true]);
});

it("under load a second statement goes out while the first is under way, never for the same job", async () => {
  await queueInBulk(test.database, { user_id: randomUUID(), count: 260 });
  const claims = await claimJobs(test.database, { session_id: await createSession(test.database), limit: 260 });
  const [front, back] = [claims.slice(0, 130), claims.slice(130)];
  const sent: { ids: string[]; go: () => void }[] = [];
  const arrived = new EventEmitter();
  const batcher = createCheckpointBatcher({
    ...test.database,
    many: async (row, sql, parameters) => {
      const gate = Promise.withResolvers<void>();
      sent.push({ ids: z.array(z.string()).parse(parameters?.[0]), go: gate.resolve });
      arrived.emit("statement");
      await gate.promise;
      return test.database.many(row, sql, parameters);
    },
  });
  const advance = (jobs: readonly Claim[]) => jobs.map((job) => batcher.advance({ ...job, ...verified }));
  const firstSent = once(arrived, "statement");
  const first = advance(front);
  await firstSent;
  const secondSent = once(arrived, "statement");
  const stale = front.slice(0, 10).map((job) => batcher.advance({ ...job, ...verified, fence: job.fence - 1 }));
  const second = advance(back);
  await secondSent;
  expect(sent.map((statement) => statement.ids.toSorted())).toEqual(
    [front, back].map((jobs) => jobs.map((job) => job.job_id).toSorted()),
  );
  arrived.on("statement", () => sent.at(-1)?.go());
  for (const statement of sent) statement.go();
  expect(new Set(await Promise.all([...first, ...second]))).toEqual(new Set([true]));
  expect(new Set(await Promise.all(stale))).toEqual(new Set([false]));
});
