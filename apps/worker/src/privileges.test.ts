import { hasParallelConnections, readHistory, readJob } from "@pipeline/db/testing";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { makeDue, openWorkerBench, policyOf, type WorkerBench, workThrough } from "./worker.fixture.ts";

let bench: WorkerBench;
beforeAll(async () => {
  bench = await openWorkerBench();
});
afterEach(() => bench.clear());
afterAll(() => bench.close());

describe.skipIf(!hasParallelConnections())("a worker whose role lacks a privilege: needs roles on a server", () => {
  it("sets documents aside without an attempt, names what is withheld, and goes on once it is granted", async () => {
    const { job } = await bench.submit(policyOf(1));
    await bench.database.run("revoke insert on upload_pipeline.document_chunks from upload_pipeline_worker");
    const worker = bench.openWorker();
    for (let look = 0; look < 5; look++) {
      await workThrough(worker);
      await makeDue(bench.database, job.job_id);
    }
    expect(await readJob(bench.database, job.job_id)).toMatchObject({
      state: "retryable",
      status: "chunking",
      retry_count: 0,
      last_error: { stage: "chunk", code: "database_privilege_missing", retryable: true },
    });
    expect(bench.logged.join("")).toContain("permission denied for table document_chunks");

    await bench.database.run("grant insert on upload_pipeline.document_chunks to upload_pipeline_worker");
    await workThrough(worker);

    expect(await readJob(bench.database, job.job_id)).toMatchObject({ state: "done", last_error: null });
    const history = await readHistory(bench.database, job.job_id);
    expect(history.filter((line) => line.startsWith("retry_scheduled"))).toEqual(["retry_scheduled:chunking"]);
  });
});
