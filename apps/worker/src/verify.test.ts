import { randomUUID } from "node:crypto";
import { mkdir, readdir, utimes } from "node:fs/promises";
import { join } from "node:path";
import { getDocument } from "@pipeline/db";
import { readHistory, readJob } from "@pipeline/db/testing";
import { AppError } from "@pipeline/runtime";
import type { ObjectStore } from "@pipeline/storage";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { makeDue, openWorkerBench, policyOf, readCodes, type WorkerBench, workThrough } from "./worker.fixture.ts";

let bench: WorkerBench;
beforeAll(async () => {
  bench = await openWorkerBench();
});
afterEach(() => bench.clear());
afterAll(() => bench.close());

const jobOf = (jobId: string) => readJob(bench.database, jobId);

async function secondsUntilDue(jobId: string): Promise<number> {
  const [row] = await bench.database.many(
    z.object({ seconds: z.number() }),
    `select extract(epoch from due_at - updated_at)::float8 as seconds from ${bench.database.schema}.upload_jobs where job_id = $1`,
    [jobId],
  );
  return row?.seconds ?? Number.NaN;
}

/** Is away at the first downloads. */
function refusing(times: number): ObjectStore {
  let left = times;
  return {
    ...bench.storage,
    download: (key, options) => {
      left -= 1;
      if (left < 0) return bench.storage.download(key, options);
      return Promise.reject(new AppError({ kind: "transient", code: "storage_unavailable", message: "Away." }));
    },
  };
}

describe("a download that fails", () => {
  it("is tried again with the job in hand", async () => {
    const upload = await bench.submit(policyOf(1));
    await workThrough(bench.openWorker({ storage: refusing(2), random: () => 0 }));
    expect(await jobOf(upload.job.job_id)).toMatchObject({ state: "done" });
    expect(await readCodes(bench.database, upload)).toEqual([]);
  });

  it("again and again is a failed attempt", async () => {
    const upload = await bench.submit(policyOf(1));
    await workThrough(bench.openWorker({ storage: refusing(3), random: () => 0 }));
    expect(await readCodes(bench.database, upload)).toEqual(["storage_unavailable"]);
  });
});

describe("a file that is not there yet", () => {
  it("is waited for, looked for again, and processed once it has arrived", async () => {
    const text = policyOf(1);
    const upload = await bench.promise(text);
    const { job_id } = upload.job;
    const worker = bench.openWorker();
    await makeDue(bench.database, job_id);
    await workThrough(worker);
    expect(await jobOf(job_id)).toMatchObject({ state: "waiting", waiting_for: "upload", status: "uploaded" });
    await bench.put(upload, text);
    await makeDue(bench.database, job_id);
    await workThrough(worker);
    expect(await jobOf(job_id)).toMatchObject({ state: "done", status: "complete" });
    expect(await readCodes(bench.database, upload)).toEqual([]);
  });

  it.for([
    { age: "1 second", seconds: 5 },
    { age: "80 seconds", seconds: 20 },
    { age: "1 hour", seconds: 60 },
  ])("is looked for again after $seconds s at an age of $age", async ({ age, seconds }) => {
    const { job } = await bench.promise(policyOf(1), { uploadSeconds: 86_400 });
    await bench.database.run(
      `update ${bench.database.schema}.upload_jobs set created_at = now() - $2::interval, due_at = now() where job_id = $1`,
      [job.job_id, age],
    );
    await workThrough(bench.openWorker());
    expect(await secondsUntilDue(job.job_id)).toBeCloseTo(seconds, 0);
  });

  it("is given up when its upload link has expired", async () => {
    const upload = await bench.promise(policyOf(1));
    await bench.database.run(
      `update ${bench.database.schema}.upload_jobs set upload_expires_at = now() - interval '1 s', due_at = now() where job_id = $1`,
      [upload.job.job_id],
    );
    await workThrough(bench.openWorker());
    const job = await jobOf(upload.job.job_id);
    expect(job).toMatchObject({ state: "deadletter", last_error: { code: "upload_expired", retryable: false } });
    expect(await readCodes(bench.database, upload)).toEqual(["upload_expired"]);
  });

  it("is given up at once where nobody was promised an upload", async () => {
    const { schema } = bench.database;
    const job_id = randomUUID();
    await bench.database.run(
      `INSERT INTO ${schema}.documents (document_id, user_id, filename, mime, bytes_len, file_sha256, raw_path, processing_status, created_at, updated_at)
       VALUES (gen_random_uuid(), gen_random_uuid(), 'test-document.pdf', 'application/pdf', 1024, 'test-sha256-hash', 'test/path/document.pdf', 'uploaded', NOW(), NOW())`,
    );
    await bench.database.run(
      `INSERT INTO ${schema}.upload_jobs (job_id, document_id, status, state, progress, created_at, updated_at)
       VALUES ($1, (SELECT document_id FROM ${schema}.documents WHERE filename = 'test-document.pdf' LIMIT 1), 'uploaded', 'queued', '{"test": true}', NOW(), NOW())`,
      [job_id],
    );
    await workThrough(bench.openWorker());
    expect(await jobOf(job_id)).toMatchObject({
      state: "deadletter",
      progress: { test: true },
      last_error: { stage: "verify", code: "object_not_found", retryable: false },
    });
    expect(await readHistory(bench.database, job_id)).toEqual(["created:uploaded", "deadlettered:uploaded"]);
  });
});

describe("a file that is not the promised one", () => {
  const text = policyOf(1);

  it.for([
    { fault: "shorter", stored: text.slice(0, -1), code: "length_mismatch" },
    { fault: "longer", stored: `${text} `, code: "length_mismatch" },
    { fault: "other bytes of the same length", stored: text.replace("Home", "Hume"), code: "hash_mismatch" },
  ])("is refused and removed ($fault)", async ({ stored, code }) => {
    const upload = await bench.promise(text);
    await bench.put(upload, stored);
    await makeDue(bench.database, upload.job.job_id);
    await workThrough(bench.openWorker());
    const job = await jobOf(upload.job.job_id);
    expect(job).toMatchObject({ state: "deadletter", status: "uploaded", last_error: { stage: "verify", code } });
    expect(await readCodes(bench.database, upload)).toEqual([code]);
    expect(await bench.storage.stat(upload.document.raw_path)).toBeUndefined();
  });

  it("is refused and removed when its content is of another kind than announced", async () => {
    const upload = await bench.submit(text, { mime: "application/pdf" });
    await workThrough(bench.openWorker());
    expect(await jobOf(upload.job.job_id)).toMatchObject({
      state: "deadletter",
      last_error: { code: "content_mismatch", retryable: false },
    });
    expect(await bench.storage.stat(upload.document.raw_path)).toBeUndefined();
  });

  it("is refused when the announced hash is none", async () => {
    const upload = await bench.submit(text, { file_sha256: "test-sha256-hash" });
    await workThrough(bench.openWorker());
    expect(await jobOf(upload.job.job_id)).toMatchObject({ last_error: { code: "hash_mismatch" } });
  });

  it("is refused by a later claim too, when it was swapped after it had been verified", async () => {
    const upload = await bench.submit(text);
    const { job_id } = upload.job;
    const worker = bench.openWorker({ options: { stageDeadlinesMs: { parse: 1 }, maxRetries: 1 } });
    await workThrough(worker);
    expect(await jobOf(job_id)).toMatchObject({ status: "parsing", state: "retryable" });
    await bench.storage.remove([upload.document.raw_path]);
    await bench.put(upload, text.replace("Home", "Hume"));
    await makeDue(bench.database, job_id);
    await workThrough(bench.openWorker());
    expect(await jobOf(job_id)).toMatchObject({
      state: "deadletter",
      last_error: { stage: "parse", code: "hash_mismatch" },
    });
  });

  it("can be uploaded again by its owner", async () => {
    const upload = await bench.promise(text);
    await bench.put(upload, "something else");
    await makeDue(bench.database, upload.job.job_id);
    await workThrough(bench.openWorker());
    const again = await bench.submit(text, { user_id: upload.job.user_id });
    await workThrough(bench.openWorker());
    expect(await getDocument(bench.database, again.job)).toMatchObject({ processing_status: "complete" });
  });
});

describe("the local copies", () => {
  it("are removed, whether a document was taken or refused", async () => {
    await bench.submit(policyOf(1));
    await bench.submit(policyOf(2), { file_sha256: "0".repeat(64) });
    await workThrough(bench.openWorker());
    expect(await readdir(bench.copiesDirectory)).toEqual([]);
  });

  it("of killed workers are removed when a worker starts a day later", async () => {
    const names = ["pipeline-claim-old", "pipeline-claim-new", "something-else"];
    const yesterday = new Date(Date.now() - 25 * 60 * 60_000);
    for (const name of names) {
      await mkdir(join(bench.copiesDirectory, name));
      if (name !== "pipeline-claim-new") await utimes(join(bench.copiesDirectory, name), yesterday, yesterday);
    }
    await bench.openWorker().start();
    expect((await readdir(bench.copiesDirectory)).toSorted()).toEqual(["pipeline-claim-new", "something-else"]);
  });
});
