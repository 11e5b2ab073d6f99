import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { getDocument, findDocumentBehind, listDocuments, type DocumentCursor } from "./documents.ts";
import { getJob, listEvents } from "./jobs.ts";
import {
  createUpload,
  createCompleteDocument,
  createQueuedJob,
  openTestDatabase,
  vectorOf,
  type TestDatabase,
} from "./testing/index.ts";

let opened: TestDatabase;
beforeAll(async () => {
  opened = await openTestDatabase();
});
afterAll(() => opened.close());

test("a document shows its newest job and its live passages", async () => {
  const user_id = randomUUID();
  const passages = ["one", "two"].map((text, index) => ({ text, vector: vectorOf(index + 1) }));
  const { document_id, job_id } = await createCompleteDocument(opened.database, { upload: { user_id }, passages });
  expect(await getDocument(opened.database, { user_id, document_id })).toMatchObject({
    document_id,
    job_id,
    processing_status: "complete",
    state: "done",
    last_error: null,
    chunk_count: 2,
    live_generation: 1,
    page_count: 1,
    embed_model: "test-model",
  });
  const { document } = await createUpload(opened.database);
  expect(await getDocument(opened.database, document)).toMatchObject({ chunk_count: 0, embed_model: null });
});

test("another user's document and job are as if they were not there", async () => {
  const { document, job } = await createQueuedJob(opened.database);
  const user_id = randomUUID();
  const { document_id } = document;
  const { job_id } = job;
  const reading = getDocument(opened.database, { user_id, document_id });
  await expect(reading).rejects.toMatchObject({ kind: "not_found", code: "document_not_found" });
  const readingJob = getJob(opened.database, { user_id, job_id });
  await expect(readingJob).rejects.toMatchObject({ kind: "not_found", code: "job_not_found" });
  expect(await listEvents(opened.database, { user_id, job_id, after: 0, limit: 10 })).toEqual([]);
  expect(await listDocuments(opened.database, { user_id, before: undefined, limit: 10 })).toEqual([]);
  const absent = getJob(opened.database, { user_id, job_id: randomUUID() });
  await expect(absent).rejects.toMatchObject({ kind: "not_found", code: "job_not_found" });
});

test("the owner reads the job as it was registered", async () => {
  const { job } = await createQueuedJob(opened.database);
  expect(await getJob(opened.database, job)).toMatchObject({ job_id: job.job_id, state: "queued", progress: {} });
});

test("pages of documents miss none and repeat none, also where times are equal", async () => {
  const user_id = randomUUID();
  for (let made = 0; made < 9; made++) await createQueuedJob(opened.database, { user_id });
  // Microseconds that a cursor's milliseconds cannot carry, and times that are equal to the last digit.
  await opened.database.run(
    `update upload_pipeline.documents d set created_at = '2026-01-01T00:00:00.123Z'::timestamptz + (n.place / 3) * interval '400 microseconds'
     from (select document_id, row_number() over (order by document_id) as place from upload_pipeline.documents where user_id = $1) n
     where n.document_id = d.document_id`,
    [user_id],
  );
  const all = await listDocuments(opened.database, { user_id, before: undefined, limit: 100 });
  const paged: string[] = [];
  let before: DocumentCursor | undefined;
  for (;;) {
    const page = await listDocuments(opened.database, { user_id, before, limit: 2 });
    const last = page.at(-1);
    if (!last) break;
    paged.push(...page.map((document) => document.document_id));
    // As a cursor travels: in milliseconds.
    before = { created_at: new Date(last.created_at.toISOString()), document_id: last.document_id };
  }
  expect(paged).toEqual(all.map((document) => document.document_id));
  expect(new Set(paged).size).toBe(9);
  const times = all.map((document) => document.created_at.getTime());
  expect(times).toEqual(times.toSorted((a, b) => b - a));
});

test("events come in order, from behind the cursor, with the request that caused them", async () => {
  const { job, document } = await createQueuedJob(opened.database, { correlation_id: "request-1" });
  const owner = { user_id: document.user_id, job_id: job.job_id };
  const all = await listEvents(opened.database, { ...owner, after: 0, limit: 10 });
  expect(all.map((event) => event.type)).toEqual(["created", "upload_confirmed"]);
  expect(all.map((event) => event.correlation_id)).toEqual(["request-1", "request-1"]);
  const [first, second] = all;
  const limited = await listEvents(opened.database, { ...owner, after: 0, limit: 1 });
  expect(limited).toEqual([first]);
  expect(await listEvents(opened.database, { ...owner, after: first?.event_id ?? 0, limit: 10 })).toEqual([second]);
});

test("a list that looks at some documents only goes on behind them without a gap", async () => {
  const user_id = randomUUID();
  for (let index = 0; index < 5; index += 1) await createUpload(opened.database, { user_id });
  const all = await listDocuments(opened.database, { user_id, before: undefined, limit: 10 });
  const upTo = await findDocumentBehind(opened.database, { user_id, before: undefined, steps: 2 });
  const first = await listDocuments(opened.database, { user_id, before: undefined, upTo, limit: 10 });
  const rest = await listDocuments(opened.database, { user_id, before: upTo, limit: 10 });
  expect(first).toEqual(all.slice(0, 2));
  expect(rest).toEqual(all.slice(2));
  expect(await findDocumentBehind(opened.database, { user_id, before: upTo, steps: 4 })).toBeUndefined();
});
