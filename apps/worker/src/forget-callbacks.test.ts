import { randomUUID } from "node:crypto";
import { logCallback } from "@pipeline/db";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { openWorkerBench, type WorkerBench } from "./worker.fixture.ts";

let bench: WorkerBench;
beforeAll(async () => {
  bench = await openWorkerBench();
});
afterAll(() => bench.close());

test("a running worker deletes the callbacks of last month, also one that reads documents itself", async () => {
  const { database } = bench;
  const log = `${database.schema}.webhook_log`;
  for (const event_key of ["old", "new"]) {
    await logCallback(database, { provider: "llamaparse", job_id: randomUUID(), event_key, code: "webhook_late" });
  }
  await database.run(`update ${log} set received_at = now() - interval '31 days' where event_key = 'old'`);
  await bench.openWorker().start();
  const row = z.object({ event_key: z.string() });
  await expect
    .poll(() => database.many(row, `select event_key from ${log}`), { timeout: 30_000 })
    .toEqual([{ event_key: "new" }]);
});
