import { randomUUID } from "node:crypto";
import { AppError } from "@pipeline/runtime";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { cancelJob } from "./cancel.ts";
import { advanceJobs, failJob } from "./checkpoints.ts";
import { listFileKeys } from "./file-keys.ts";
import { publishGeneration } from "./generations.ts";
import type { Stage } from "./pipeline.ts";
import { one } from "./queryable.ts";
import { findVerifiedFile, listNeededKeys } from "./reconcile.ts";
import { retryJob } from "./redrive.ts";
import { REPROCESS_FROM, reprocessDocument, type ReprocessFrom } from "./reprocess.ts";
import { deleteFinished } from "./retention.ts";
import type { Hold } from "./rows.ts";
import {
  createCompleteDocument,
  holdNow,
  openTestDatabase,
  uploadPromise,
  vectorOf,
  type TestDatabase,
} from "./testing/index.ts";
import { confirmUpload, registerUpload, type UploadPromise } from "./uploads.ts";

let opened: TestDatabase;
beforeAll(async () => {
  opened = await openTestDatabase();
});
afterAll(() => opened.close());

const correlation_id = "test";
const cancel = (job_id: string) => cancelJob(opened.database, { job_id, correlation_id });
const reprocess = ({ document_id }: { document_id: string }, from: ReprocessFrom) =>
  opened.database.transaction((tx) => reprocessDocument(tx, { document_id, from, correlation_id }));

/** Complete once; a reprocessing was cancelled, so that the same file may be promised anew. */
async function replaceable() {
  const upload = uploadPromise({ bytes_len: 12, mime: "text/plain" });
  const made = await createCompleteDocument(opened.database, {
    upload,
    passages: [{ text: "one", vector: vectorOf(1) }],
  });
  await cancel((await reprocess(made, "verify")).job_id);
  return { ...made, user_id: upload.user_id, upload };
}

/** The file under a key of its own, with facts of its own. */
async function promiseAgain(upload: UploadPromise): Promise<UploadPromise> {
  const job_id = randomUUID();
  const raw_path = `${upload.document_id}/${job_id}`;
  const promise = { ...upload, job_id, raw_path, mime: "text/markdown", bytes_len: 99 };
  const { duplicate } = await opened.database.transaction((tx) => registerUpload(tx, promise));
  expect(duplicate).toBe(false);
  return promise;
}

async function abandon(upload: UploadPromise): Promise<UploadPromise> {
  const promise = await promiseAgain(upload);
  await cancel(promise.job_id);
  return promise;
}

/** The file came and was verified; then the job failed with this code. */
async function failAfterVerifying(promise: UploadPromise, code: string): Promise<void> {
  await confirmUpload(opened.database, promise);
  const hold = await holdNow(opened.database, promise.job_id);
  await advanceJobs(opened.database, [{ ...hold, from: "uploaded", to: "parsing", progress: {}, detail: {} }]);
  await fail(hold, { stage: "parse", code });
}

const fail = (hold: Hold, { stage, code }: { stage: Stage; code: string }) =>
  failJob(opened.database, hold, {
    stage,
    error: new AppError({ kind: "permanent", code, message: "No." }),
    maxRetries: 0,
    delayMs: 0,
  });

const filesOf = ({ document_id }: { document_id: string }) =>
  one(
    opened.database,
    z.object({
      raw_path: z.string(),
      mime: z.string(),
      bytes_len: z.number(),
      old_paths: z.array(z.string()),
      removals: z.array(z.string()),
    }),
    `select raw_path, mime, bytes_len, old_paths, array(
       select object_key from upload_pipeline.removals where object_key like $1 || '/%' order by 1) as removals
     from upload_pipeline.documents where document_id::text = $1`,
    [document_id],
  );

test.each(REPROCESS_FROM)(
  "where a new upload never came reprocessing from %s goes on with the verified file",
  async (from) => {
    const { upload, ...document } = await replaceable();
    const { raw_path } = upload;
    const abandoned = [await abandon(upload), await abandon(upload)];
    const before = await filesOf(document);
    expect(before).toMatchObject({ raw_path: abandoned[1]?.raw_path, old_paths: [raw_path, abandoned[0]?.raw_path] });
    const { job_id } = await reprocess(document, from);
    expect(await filesOf(document)).toEqual({
      raw_path,
      mime: "text/plain",
      bytes_len: 12,
      old_paths: [abandoned[0]?.raw_path],
      removals: [abandoned[1]?.raw_path],
    });
    expect([...(await listNeededKeys(opened.database, [raw_path]))]).toEqual([raw_path]);
    expect((await listFileKeys(opened.database, document))[0]).toBe(raw_path);
    await cancel(job_id);
    const retried = await opened.database.transaction((tx) => retryJob(tx, { job_id, correlation_id }));
    expect(retried).toMatchObject({ state: "queued" });
  },
);

test("the file is known though the jobs that verified it were pruned", async () => {
  const { upload, ...document } = await replaceable();
  const { job_id } = await abandon(upload);
  await deleteFinished(opened.database, { olderThanDays: 0, limit: 1_000, after: undefined });
  const left = await opened.database.many(
    z.object({ job_id: z.string() }),
    "select job_id from upload_pipeline.upload_jobs where document_id = $1",
    [document.document_id],
  );
  expect(left).toEqual([{ job_id }]);
  expect(await listFileKeys(opened.database, document)).toEqual([upload.raw_path]);
  await reprocess(document, "parse");
  expect(await filesOf(document)).toMatchObject({ raw_path: upload.raw_path, old_paths: [] });
});

test("the newest file that was verified is the one", async () => {
  const { upload, ...document } = await replaceable();
  const verified = await promiseAgain(upload);
  await failAfterVerifying(verified, "parser_crashed");
  await abandon(upload);
  await reprocess(document, "parse");
  expect(await filesOf(document)).toMatchObject({
    raw_path: verified.raw_path,
    mime: "text/markdown",
    bytes_len: 99,
    old_paths: [upload.raw_path],
  });
});

test("a file that was verified stays, whatever its job came to", async () => {
  const { upload, ...document } = await replaceable();
  const verified = await promiseAgain(upload);
  await failAfterVerifying(verified, "parser_crashed");
  await reprocess(document, "parse");
  expect(await filesOf(document)).toMatchObject({ raw_path: verified.raw_path, old_paths: [upload.raw_path] });
});

test("a file that proved to be another one gives way, and where there is none before it only an upload helps", async () => {
  const { upload, ...document } = await replaceable();
  const hold = await holdNow(opened.database, (await reprocess(document, "verify")).job_id);
  await fail(hold, { stage: "verify", code: "hash_mismatch" });
  for (const from of ["verify", "parse", "validate"] as const) {
    await expect(reprocess(document, from)).rejects.toMatchObject({ kind: "conflict", code: "upload_again" });
  }
  const second = await abandon(upload);
  await expect(reprocess(document, "parse")).rejects.toMatchObject({ code: "upload_again" });
  expect(await filesOf(document)).toMatchObject({ raw_path: second.raw_path, removals: [] });
  expect(await reprocess(document, "chunk")).toMatchObject({ state: "queued", status: "chunking" });
});

test("what was restored is not removed with the old files when the document is complete again", async () => {
  const { upload, ...document } = await replaceable();
  const abandoned = await abandon(upload);
  const { job_id } = await reprocess(document, "publish");
  const hold = await holdNow(opened.database, job_id);
  await opened.database.transaction(async (tx) => {
    await publishGeneration(tx, { document_id: document.document_id, generation: 4 });
    await advanceJobs(tx, [{ ...hold, from: "embeddings_stored", to: "complete", progress: {}, detail: {} }]);
  });
  expect(await filesOf(document)).toMatchObject({
    raw_path: upload.raw_path,
    old_paths: [],
    removals: [abandoned.raw_path],
  });
  const keys = [upload.raw_path, abandoned.raw_path];
  expect([...(await listNeededKeys(opened.database, keys))]).toEqual([upload.raw_path]);
  expect(await findVerifiedFile(opened.database, { ...document, raw_path: upload.raw_path })).toBeDefined();
});
