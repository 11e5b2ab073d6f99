import { diagnose } from "@pipeline/db";
import { afterAll, beforeAll, expect, it } from "vitest";
import { z } from "zod";
import { countingEmbedder, openWorkerBench, policyOf, type WorkerBench, workThrough } from "./worker.fixture.ts";

let bench: WorkerBench;
beforeAll(async () => {
  bench = await openWorkerBench();
});
afterAll(() => bench.close());

const COUNT = 24;

const jobRow = z.object({ state: z.string(), retry_count: z.number(), crash_count: z.number(), is_begun: z.boolean() });

const readJobs = () =>
  bench.database.many(
    jobRow,
    `select state, retry_count, crash_count, status <> 'uploaded' as is_begun from ${bench.database.schema}.upload_jobs`,
  );

const countEvents = async (type: string): Promise<number> => {
  const [row] = await bench.database.many(
    z.object({ count: z.number() }),
    `select count(*)::int as count from ${bench.database.schema}.events where type = $1`,
    [type],
  );
  return row?.count ?? 0;
};

it("workers that are stopped again and again under load leave nothing leased and burn no attempt", async () => {
  for (let number = 1; number <= COUNT; number += 1) await bench.submit(`${policyOf(1)}\nPolicy number ${number}.\n`);
  for (const batches of [3, 2, 4]) {
    const enough = Promise.withResolvers<void>();
    const { embedder } = countingEmbedder((batch) => {
      if (batch < batches) return;
      enough.resolve();
      // In hand for sure when the worker is stopped.
      return new Promise<void>(() => undefined);
    });
    const worker = bench.openWorker({ embedder, options: { concurrency: 8 } });
    await worker.start();
    await enough.promise;
    await worker.stop({ deadlineMs: 0 });
    const jobs = await readJobs();
    expect(jobs.filter((job) => job.state !== "queued" && job.state !== "done")).toEqual([]);
    expect(jobs.filter((job) => job.retry_count > 0 || job.crash_count > 0)).toEqual([]);
    expect(jobs.some((job) => job.state === "queued" && job.is_begun)).toBe(true);
  }
  expect(await countEvents("released")).toBeGreaterThan(0);
  await workThrough(bench.openWorker({ options: { concurrency: 8 } }));
  expect((await readJobs()).map((job) => job.state)).toEqual(Array.from({ length: COUNT }, () => "done"));
  expect(await countEvents("status")).toBe(COUNT * 9);
  expect([await countEvents("retry_scheduled"), await countEvents("rescued")]).toEqual([0, 0]);
  const diagnoses = await diagnose(bench.database);
  expect(diagnoses.filter(({ severity, total }) => severity === "error" && total > 0)).toEqual([]);
});
