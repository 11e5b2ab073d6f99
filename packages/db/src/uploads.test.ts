import { randomUUID } from "node:crypto";
import { AppError } from "@pipeline/runtime";
import { afterAll, beforeAll, expect, it, test } from "vitest";
import { z } from "zod";
import { cancelJob } from "./cancel.ts";
import { advanceJobs, failJob } from "./checkpoints.ts";
import { deleteDocument } from "./delete-document.ts";
import { getDocument } from "./documents.ts";
import { getJob } from "./jobs.ts";
import { one } from "./queryable.ts";
import { removeOldFiles } from "./removals.ts";
import { reprocessDocument } from "./reprocess.ts";
import {
  createCompleteDocument,
  createQueuedJob,
  createUpload,
  hasParallelConnections,
  holdNow,
  openTestDatabase,
  readHistory,
  readJob,
  uploadPromise,
  vectorOf,
  type TestDatabase,
} from "./testing/index.ts";
import { confirmUpload, registerUpload, renewUpload, type UploadPromise, type UploadRenewal } from "./uploads.ts";

let opened: TestDatabase;
beforeAll(async () => {
  opened = await openTestDatabase();
});
afterAll(() => opened.close());

function register(promise: UploadPromise) {
  return opened.database.transaction((tx) => registerUpload(tx, promise));
}

async function stored({ user_id, document_id, job_id }: UploadPromise) {
  const { database } = opened;
  return {
    document: await getDocument(database, { user_id, document_id }),
    job: await getJob(database, { user_id, job_id }),
  };
}

function confirm(input: { user_id: string; document_id: string }) {
  return opened.database.transaction((tx) => confirmUpload(tx, { ...input, correlation_id: "confirming" }));
}

/** The same file again, promised by another request. */
function again(promise: UploadPromise, overrides: Partial<UploadPromise> = {}): UploadPromise {
  const job_id = randomUUID();
  return {
    ...promise,
    job_id,
    raw_path: `${promise.document_id}/${job_id}`,
    correlation_id: randomUUID(),
    ...overrides,
  };
}

async function count(table: string, documentId: string): Promise<number> {
  const row = await one(
    opened.database,
    z.object({ total: z.number() }),
    `select count(*) as total from upload_pipeline.${table} where document_id = $1`,
    [documentId],
  );
  return row.total;
}

async function killJob(jobId: string): Promise<void> {
  const hold = await holdNow(opened.database, jobId);
  await failJob(opened.database, hold, {
    stage: "verify",
    error: new AppError({ kind: "permanent", code: "broken", message: "Broken." }),
    maxRetries: 0,
    delayMs: 0,
  });
}

test("a first upload makes a document and a job that waits for the file", async () => {
  const promise = uploadPromise({ metadata: { policy: "A 1", 'q"uote': "\\" }, filename: "Größe 😀.pdf" });
  const made = await register(promise);
  const { document, job } = await stored(promise);
  expect(made).toEqual({
    document: expect.objectContaining({ document_id: promise.document_id, filename: "Größe 😀.pdf" }),
    job: expect.objectContaining({ state: "waiting", status: "uploaded", upload_expires_at: job.upload_expires_at }),
    duplicate: false,
    replaced_path: null,
  });
  expect(document).toMatchObject({
    ...made.document,
    document_id: promise.document_id,
    user_id: promise.user_id,
    filename: "Größe 😀.pdf",
    metadata: { policy: "A 1", 'q"uote': "\\" },
    processing_status: "uploaded",
    live_generation: null,
  });
  expect(job).toMatchObject({
    ...made.job,
    job_id: promise.job_id,
    state: "waiting",
    status: "uploaded",
    waiting_for: "upload",
    correlation_id: promise.correlation_id,
    due_at: expect.any(Date),
    upload_expires_at: expect.any(Date),
  });
  expect(await readHistory(opened.database, promise.job_id)).toEqual(["created:uploaded"]);
});

test("the same upload again is a duplicate and changes nothing", async () => {
  const promise = uploadPromise();
  const first = await register(promise);
  const before = await stored(promise);
  const second = await register(again(promise, { filename: "renamed.txt" }));
  expect(second).toMatchObject({ ...first, duplicate: true });
  expect(await stored(promise)).toEqual(before);
});

test("a finished document's file again is a duplicate", async () => {
  const promise = uploadPromise();
  const made = await createCompleteDocument(opened.database, {
    upload: promise,
    passages: [{ text: "text", vector: vectorOf(1) }],
  });
  const second = await register(again(promise));
  expect(second).toMatchObject({ duplicate: true, job: { job_id: made.job_id, state: "done" } });
});

test("another user's same file is another document", async () => {
  const mine = await register(uploadPromise({ file_sha256: "ab".repeat(32) }));
  const theirs = await register(uploadPromise({ file_sha256: "ab".repeat(32) }));
  expect(theirs.duplicate).toBe(false);
  expect(theirs.document.document_id).not.toBe(mine.document.document_id);
});

test("a rolled-back upload leaves nothing", async () => {
  const promise = uploadPromise();
  const stop = new Error("stop");
  const failing = opened.database.transaction(async (tx) => {
    await registerUpload(tx, promise);
    throw stop;
  });
  await expect(failing).rejects.toBe(stop);
  expect(await count("documents", promise.document_id)).toBe(0);
  expect(await count("upload_jobs", promise.document_id)).toBe(0);
});

test.each(["deadletter", "cancelled"])("after a %s the same file gets a new job of a new generation", async (end) => {
  const promise = uploadPromise();
  const first = await createQueuedJob(opened.database, promise);
  if (end === "deadletter") {
    await killJob(first.job.job_id);
  } else {
    await opened.database.run(
      "update upload_pipeline.upload_jobs set state = 'cancelled', finished_at = now() where job_id = $1",
      [first.job.job_id],
    );
  }
  const promised = again(promise, { filename: "second.txt", metadata: { try: 2 } });
  const second = await register(promised);
  expect(second.duplicate).toBe(false);
  expect(second.job).toMatchObject({ job_id: promised.job_id, state: "waiting" });
  expect(await readJob(opened.database, promised.job_id)).toMatchObject({ generation: 2 });
  expect(second.document).toMatchObject({
    document_id: promise.document_id,
    raw_path: promised.raw_path,
    filename: "second.txt",
    metadata: { try: 2 },
    processing_status: "uploaded",
  });
  expect(await register(again(promise))).toMatchObject({ duplicate: true, job: { job_id: promised.job_id } });
});

it.skipIf(!hasParallelConnections())(
  "the same upload a hundred times in parallel is one document and one job: needs two connections",
  async () => {
    const promise = uploadPromise();
    const databases = [opened.database, opened.openAnother(), opened.openAnother()];
    const results = await Promise.all(
      Array.from({ length: 100 }, async (_none, index) => {
        const database = databases[index % databases.length] ?? opened.database;
        return database.transaction((tx) => registerUpload(tx, again(promise)));
      }),
    );
    expect(results.filter((result) => !result.duplicate)).toHaveLength(1);
    expect(new Set(results.map((result) => result.job.job_id)).size).toBe(1);
    expect(await count("documents", promise.document_id)).toBe(1);
    expect(await count("upload_jobs", promise.document_id)).toBe(1);
  },
);

it.skipIf(!hasParallelConnections())(
  "a repeated upload and a checkpoint of its job do not deadlock: needs two connections",
  async () => {
    const promise = uploadPromise();
    const { job } = await createQueuedJob(opened.database, promise);
    const hold = await holdNow(opened.database, job.job_id);
    const other = opened.openAnother();
    let advancing: Promise<Set<string>> | undefined;
    await opened.database.transaction(async (tx) => {
      const repeated = await registerUpload(tx, again(promise));
      advancing = advanceJobs(other, [{ ...hold, from: "uploaded", to: "parsing", progress: {}, detail: {} }]);
      await Promise.race([advancing, untilBlocked(other)]);
      await renewUpload(tx, repeated.job, renewalOf(promise));
    });
    expect((await advancing)?.size).toBe(1);
  },
);

function renewalOf(promise: UploadPromise): UploadRenewal {
  return { promise, uploadSeconds: 3_600, correlation_id: randomUUID() };
}

/** Until a statement of this database waits for a lock; asked through a connection of its own. */
async function untilBlocked(database: typeof opened.database): Promise<void> {
  for (;;) {
    const [row] = await database.many(
      z.object({ blocked: z.number() }),
      "select count(*) as blocked from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
    );
    if ((row?.blocked ?? 0) > 0) return;
  }
}

test("renewing while the file is missing prolongs the link, and the newest promise counts", async () => {
  const promise = uploadPromise({ uploadSeconds: 1, metadata: { year: 1, draft: true } });
  const { job } = await register(promise);
  const newest = { filename: "b.txt", mime: "text/markdown", bytes_len: 99, metadata: { year: 2 } };
  const renewed = await opened.database.transaction((tx) => renewUpload(tx, job, renewalOf({ ...promise, ...newest })));
  expect(renewed?.upload_expires_at?.getTime()).toBeGreaterThan(job.upload_expires_at?.getTime() ?? Infinity);
  const document = await getDocument(opened.database, promise);
  expect(document).toMatchObject(newest);
  expect(document.metadata).toEqual({ year: 2 });
  expect(await readHistory(opened.database, job.job_id)).toEqual(["created:uploaded", "upload_renewed:uploaded"]);
});

test("renewing a job in line prolongs its link only; a job past the upload is not renewed", async () => {
  const promise = uploadPromise();
  const { job } = await createQueuedJob(opened.database, promise);
  const changed = renewalOf({ ...promise, filename: "late.txt" });
  const inLine = await opened.database.transaction((tx) => renewUpload(tx, job, changed));
  expect(inLine).toMatchObject({ state: "queued" });
  expect(await getDocument(opened.database, promise)).toMatchObject({ filename: promise.filename });

  const hold = await holdNow(opened.database, job.job_id);
  await advanceJobs(opened.database, [{ ...hold, from: "uploaded", to: "parsing", progress: {}, detail: {} }]);
  const before = await readJob(opened.database, job.job_id);
  expect(await opened.database.transaction((tx) => renewUpload(tx, job, changed))).toBeUndefined();
  expect(await readJob(opened.database, job.job_id)).toEqual(before);
});

test("renewing without a promise prolongs the link and leaves what was promised", async () => {
  const promise = uploadPromise({ uploadSeconds: 1, metadata: { year: 1 } });
  const { job, document } = await register(promise);
  const renewal = { uploadSeconds: 3_600, correlation_id: "replay" };
  const renewed = await opened.database.transaction((tx) => renewUpload(tx, job, renewal));
  expect(renewed?.upload_expires_at?.getTime()).toBeGreaterThan(job.upload_expires_at?.getTime() ?? Infinity);
  expect(await getDocument(opened.database, promise)).toMatchObject(document);
});

test("a dead job is not renewed", async () => {
  const promise = uploadPromise();
  const { job } = await createQueuedJob(opened.database, promise);
  await killJob(job.job_id);
  expect(await opened.database.transaction((tx) => renewUpload(tx, job, renewalOf(promise)))).toBeUndefined();
});

test("confirming makes the job claimable once, with one event that names the request", async () => {
  const { job, document } = await createUpload(opened.database);
  const first = await confirm(document);
  const second = await confirm(document);
  expect(first).toMatchObject({ job_id: job.job_id, state: "queued", due_at: null, waiting_for: null });
  expect(second).toEqual(first);
  const events = await opened.database.many(
    z.object({ type: z.string(), correlation_id: z.string().nullable() }),
    "select type, correlation_id from upload_pipeline.events where job_id = $1 order by event_id",
    [job.job_id],
  );
  expect(events).toEqual([
    { type: "created", correlation_id: null },
    { type: "upload_confirmed", correlation_id: "confirming" },
  ]);
});

test("another user's confirmation does nothing and learns nothing", async () => {
  const { job, document } = await createUpload(opened.database);
  const answer = await confirm({ user_id: randomUUID(), document_id: document.document_id });
  expect(answer).toBeUndefined();
  expect(await readJob(opened.database, job.job_id)).toMatchObject({ state: "waiting" });
  expect(await readHistory(opened.database, job.job_id)).toEqual(["created:uploaded"]);
  expect(await confirm({ user_id: document.user_id, document_id: randomUUID() })).toBeUndefined();
});

test("a name with characters that Postgres refuses is stored without them", async () => {
  const promise = uploadPromise({ filename: "a\0b\uD800.txt", metadata: { "k\0": "\0" } });
  const { document } = await register(promise);
  expect(document).toMatchObject({ filename: "a\uFFFDb\uFFFD.txt" });
  expect((await stored(promise)).document).toMatchObject({ ...document, metadata: { "k\uFFFD": "\uFFFD" } });
});

test("files of earlier uploads are known to a deletion when their jobs were pruned, and go when the newest is complete", async () => {
  const { schema } = opened.database;
  for (const isComplete of [false, true]) {
    const promise = uploadPromise({ file_sha256: (isComplete ? "1a" : "2b").repeat(32) });
    const first = `${promise.document_id}/${promise.job_id}`;
    const upload = { ...promise, raw_path: first };
    const { document_id } = await createCompleteDocument(opened.database, {
      upload,
      passages: [{ text: "text", vector: vectorOf(1) }],
    });
    const asked = { document_id, from: "verify" as const, correlation_id: "again" };
    const { job_id } = await opened.database.transaction((tx) => reprocessDocument(tx, asked));
    await cancelJob(opened.database, { job_id, correlation_id: "again" });
    const newest = again(upload);
    await register(newest);
    await opened.database.run(`delete from ${schema}.upload_jobs where document_id = $1 and job_id <> $2`, [
      document_id,
      newest.job_id,
    ]);
    if (isComplete) {
      await confirm(newest);
      const hold = await holdNow(opened.database, newest.job_id);
      await advanceJobs(opened.database, [{ ...hold, from: "uploaded", to: "parsing", progress: {}, detail: {} }]);
      await opened.database.transaction((tx) => removeOldFiles(tx, document_id));
    } else {
      await opened.database.transaction((tx) => deleteDocument(tx, newest));
    }
    const keys = await opened.database.many(
      z.object({ object_key: z.string() }),
      `select object_key from ${schema}.removals where object_key like $1 order by 1`,
      [`${document_id}/%`],
    );
    const expected = isComplete ? [first] : [first, newest.raw_path].toSorted();
    expect(keys.map(({ object_key }) => object_key)).toEqual(expected);
  }
});
