import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { diagnose } from "./doctor.ts";
import { getDocument } from "./documents.ts";
import { findVerifiedFile, listNeededKeys, listVerifiedFiles, recordLostFile } from "./reconcile.ts";
import { retryJob } from "./redrive.ts";
import { reprocessDocument } from "./reprocess.ts";
import {
  createCompleteDocument,
  createQueuedJob,
  createUpload,
  insertJobInState,
  openTestDatabase,
  readHistory,
  readJob,
  uploadPromise,
  vectorOf,
  type TestDatabase,
} from "./testing/index.ts";
import { registerUpload } from "./uploads.ts";

let opened: TestDatabase;
beforeAll(async () => {
  opened = await openTestDatabase();
});
afterAll(() => opened.close());
beforeEach(async () => {
  await opened.database.run("delete from upload_pipeline.documents");
});

const correlation_id = "the comparison";
const PASSAGES = [{ text: "Text.", vector: vectorOf(1) }];

/** A finished document, with the promise that its file was announced by. */
async function complete() {
  const upload = uploadPromise();
  const { job_id, document_id } = await createCompleteDocument(opened.database, { passages: PASSAGES, upload });
  return { upload, job_id, document_id, raw_path: upload.raw_path };
}

const record = (file: { document_id: string; raw_path: string }) =>
  opened.database.transaction((tx) => recordLostFile(tx, { ...file, correlation_id }));
const needed = async (...keys: string[]) => [...(await listNeededKeys(opened.database, keys))].toSorted();

test("a document's own key is needed from the promise on, and no other key of it", async () => {
  const { document } = await createUpload(opened.database);
  const other = `${document.document_id}/${randomUUID()}`;
  const strange = [randomUUID(), `${randomUUID()}/${randomUUID()}`];
  expect(await needed(document.raw_path, other, ...strange)).toEqual([document.raw_path]);
});

test("a key that a row made by hand names is needed, whatever it looks like", async () => {
  const raw_path = `${randomUUID()}/${randomUUID()}`;
  await createUpload(opened.database, { raw_path });
  expect(await needed(raw_path, randomUUID())).toEqual([raw_path]);
});

test("the file of what search sees is needed until the one that replaces it is done", async () => {
  const before = await complete();
  await opened.database.transaction((tx) =>
    reprocessDocument(tx, { document_id: before.document_id, from: "parse", correlation_id }),
  );
  const old = `${before.document_id}/${randomUUID()}`;
  expect(await needed(old, before.raw_path)).toEqual([old, before.raw_path].toSorted());
  await opened.database.run("delete from upload_pipeline.documents");
  const after = await complete();
  const replaced = `${after.document_id}/${randomUUID()}`;
  expect(await needed(replaced, after.raw_path)).toEqual([after.raw_path]);
});

test("files that must be there are those of verified documents without a failure, page by page", async () => {
  const expected = [await complete(), await complete(), await complete()].toSorted((one, other) =>
    one.document_id < other.document_id ? -1 : 1,
  );
  await createQueuedJob(opened.database);
  for (const state of ["deadletter", "cancelled"] as const) {
    await insertJobInState(opened.database, { state, status: "parsing" });
  }
  const first = await listVerifiedFiles(opened.database, { after: undefined, limit: 2 });
  const second = await listVerifiedFiles(opened.database, { after: first[1]?.document_id, limit: 2 });
  expect([...first, ...second]).toEqual(
    expected.map(({ document_id, raw_path, job_id }) => ({
      document_id,
      raw_path,
      job_id,
      status: "complete",
      state: "done",
    })),
  );
  expect(await listVerifiedFiles(opened.database, { after: second[0]?.document_id, limit: 2 })).toEqual([]);
});

test("a job under way past its verification needs its file", async () => {
  const job_id = await insertJobInState(opened.database, { state: "queued", status: "parsing" });
  expect(await listVerifiedFiles(opened.database, { after: undefined, limit: 9 })).toMatchObject([
    { job_id, state: "queued", status: "parsing" },
  ]);
});

test("a loss is a dead letter of its own, and what search sees stays", async () => {
  const lost = await complete();
  const job = await record(lost);
  expect(job).toMatchObject({
    document_id: lost.document_id,
    user_id: lost.upload.user_id,
    correlation_id,
    status: "parsing",
    state: "deadletter",
    last_error: { stage: "parse", code: "object_not_found", retryable: false, at: expect.stringMatching(/^\d{4}-/) },
  });
  expect(job?.job_id).not.toBe(lost.job_id);
  expect(await readHistory(opened.database, job?.job_id ?? "")).toEqual(["created:parsing", "deadlettered:parsing"]);
  expect(await readJob(opened.database, lost.job_id)).toMatchObject({ state: "done", status: "complete" });
  const document = await getDocument(opened.database, { ...lost, user_id: lost.upload.user_id });
  expect(document).toMatchObject({ live_generation: 1, processing_status: "parsing" });
  expect((await diagnose(opened.database)).filter(({ total }) => total > 0)).toEqual([]);
});

test("a recorded loss is not told again, and the next upload of the file is a new job", async () => {
  const lost = await complete();
  await record(lost);
  expect(await record(lost)).toBeUndefined();
  expect(await findVerifiedFile(opened.database, lost)).toBeUndefined();
  const again = { ...lost.upload, job_id: randomUUID(), raw_path: `${lost.document_id}/${randomUUID()}` };
  const registered = await opened.database.transaction((tx) => registerUpload(tx, again));
  expect(registered).toMatchObject({ duplicate: false, job: { state: "waiting", job_id: again.job_id } });
});

test("when the file is back its dead letter can be retried", async () => {
  const lost = await complete();
  const job = await record(lost);
  const retried = await opened.database.transaction((tx) =>
    retryJob(tx, { job_id: job?.job_id ?? "", correlation_id }),
  );
  expect(retried).toMatchObject({ state: "queued", status: "parsing" });
});

test("nothing is recorded of a document that is under way, was given another file, or is gone", async () => {
  const replaced = await complete();
  expect(await record({ ...replaced, raw_path: `${replaced.document_id}/${randomUUID()}` })).toBeUndefined();
  await opened.database.transaction((tx) =>
    reprocessDocument(tx, { document_id: replaced.document_id, from: "parse", correlation_id }),
  );
  expect(await record(replaced)).toBeUndefined();
  expect(await record({ document_id: randomUUID(), raw_path: replaced.raw_path })).toBeUndefined();
});
