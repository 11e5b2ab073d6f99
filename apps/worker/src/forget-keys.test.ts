import { randomUUID } from "node:crypto";
import { claimKey, type RepeatableRequest } from "@pipeline/db";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { openWorkerBench, type WorkerBench } from "./worker.fixture.ts";

let bench: WorkerBench;
beforeAll(async () => {
  bench = await openWorkerBench();
});
afterAll(() => bench.close());

test("a running worker deletes the idempotency keys of yesterday, and keeps today's", async () => {
  const { database } = bench;
  const keys = `${database.schema}.idempotency_keys`;
  for (const name of ["old", "new"]) await claimKey(database, withKey(name), 60_000);
  await database.run(`update ${keys} set created_at = now() - interval '25 hours' where key_digest = 'old'`);
  await bench.openWorker().start();
  const row = z.object({ key_digest: z.string() });
  await expect
    .poll(() => database.many(row, `select key_digest from ${keys}`), { timeout: 30_000 })
    .toEqual([{ key_digest: "new" }]);
});

function withKey(key_digest: string): RepeatableRequest {
  return { user_id: randomUUID(), key_digest, request_digest: "r" };
}
