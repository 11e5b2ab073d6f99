import { randomUUID } from "node:crypto";
import { AppError } from "@pipeline/runtime";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { cancelJob } from "./cancel.ts";
import { advanceJobs, failJob } from "./checkpoints.ts";
import { getDocument } from "./documents.ts";
import { publishGeneration, replaceChunks, replacePages, storeEmbeddings } from "./generations.ts";
import { STAGES, STATES, STATUSES, TERMINAL_STATES, type Status } from "./pipeline.ts";
import { retryJob } from "./redrive.ts";
import { REPROCESS_FROM, reprocessDocument, type ReprocessFrom } from "./reprocess.ts";
import type { Hold } from "./rows.ts";
import { searchChunks } from "./search.ts";
import {
  chunksOf,
  createCompleteDocument,
  createUpload,
  holdNow,
  insertJobInState,
  openTestDatabase,
  readHistory,
  readJob,
  vectorOf,
  type CompleteDocument,
  type TestDatabase,
} from "./testing/index.ts";

let opened: TestDatabase;
beforeAll(async () => {
  opened = await openTestDatabase();
});
afterAll(() => opened.close());

interface Owned extends CompleteDocument {
  user_id: string;
}

async function complete(texts: readonly string[] = ["one", "two"]): Promise<Owned> {
  const user_id = randomUUID();
  const passages = texts.map((text) => ({ text, vector: vectorOf(1) }));
  return { ...(await createCompleteDocument(opened.database, { passages, upload: { user_id } })), user_id };
}

function reprocess(document: { document_id: string; user_id?: string }, from: ReprocessFrom) {
  const { document_id, user_id } = document;
  return opened.database.transaction((tx) =>
    reprocessDocument(tx, {
      document_id,
      from,
      correlation_id: "again",
      ...(user_id === undefined ? {} : { user_id }),
    }),
  );
}

async function textsFound(user_id: string): Promise<string[]> {
  const found = await searchChunks(opened.database, {
    user_id,
    text: "",
    vector: vectorOf(1),
    model: "test-model",
    threshold: 0,
    limit: 10,
    documentIds: undefined,
    metadata: undefined,
  });
  return found.map((chunk) => chunk.text).toSorted();
}

/** What there is of a generation. */
async function storedOf(document_id: string, generation: number) {
  const [row] = await opened.database.many(
    z.object({ pages: z.number(), chunks: z.number(), vectors: z.number(), models: z.number() }),
    `select (select count(*) from upload_pipeline.document_pages where document_id = $1 and generation = $2) as pages,
       count(*) as chunks, count(embedding) as vectors, count(embed_model) as models
     from upload_pipeline.document_chunks where document_id = $1 and generation = $2`,
    [document_id, generation],
  );
  return row;
}

function step(hold: Hold, from: Status) {
  const to = STAGES.find((definition) => definition.from === from)?.to ?? "complete";
  return { ...hold, from, to, progress: {}, detail: {} };
}

const BEGINNINGS: [ReprocessFrom, Status, { pages: number; chunks: number; vectors: number; models: number }][] = [
  ["verify", "uploaded", { pages: 0, chunks: 0, vectors: 0, models: 0 }],
  ["parse", "parsing", { pages: 0, chunks: 0, vectors: 0, models: 0 }],
  ["validate", "parsing", { pages: 0, chunks: 0, vectors: 0, models: 0 }],
  ["plan_chunks", "parse_validated", { pages: 1, chunks: 0, vectors: 0, models: 0 }],
  ["chunk", "chunking", { pages: 1, chunks: 0, vectors: 0, models: 0 }],
  ["plan_embedding", "chunks_stored", { pages: 1, chunks: 2, vectors: 0, models: 0 }],
  ["start_embedding", "embedding_queued", { pages: 1, chunks: 2, vectors: 0, models: 0 }],
  ["embed", "embedding_in_progress", { pages: 1, chunks: 2, vectors: 0, models: 0 }],
  ["publish", "embeddings_stored", { pages: 1, chunks: 2, vectors: 2, models: 2 }],
];

test("every stage is a place to begin", () => {
  expect(BEGINNINGS.map(([from]) => from)).toEqual(STAGES.map(({ stage }) => stage));
  expect(REPROCESS_FROM).toEqual([...STAGES.map(({ stage }) => stage), ...STAGES.map(({ from }) => from)]);
});

test.each(BEGINNINGS)("from %s a new job begins at %s with what comes before", async (stage, status, stored) => {
  const named = STAGES.find((definition) => definition.stage === stage)?.from;
  for (const from of [stage, named ?? stage]) {
    const document = await complete();
    const job = await reprocess(document, from);
    expect(job).toMatchObject({
      document_id: document.document_id,
      user_id: document.user_id,
      state: "queued",
      status,
      correlation_id: "again",
      retry_count: 0,
      last_error: null,
    });
    expect(job.job_id).not.toBe(document.job_id);
    expect(await readJob(opened.database, job.job_id)).toMatchObject({ generation: 2, fence: 0 });
    expect(await readHistory(opened.database, job.job_id)).toEqual([`created:${status}`]);
    expect(await storedOf(document.document_id, 2)).toEqual(stored);
    expect(await storedOf(document.document_id, 1)).toEqual({ pages: 1, chunks: 2, vectors: 2, models: 2 });
    expect(await getDocument(opened.database, document)).toMatchObject({
      processing_status: status,
      live_generation: 1,
      job_id: job.job_id,
      chunk_count: 2,
    });
  }
});

test("the old generation is found, and nothing of the new one, until the new one is published", async () => {
  const document = await complete(["old one", "old two"]);
  const { job_id } = await reprocess(document, "parse");
  const hold = await holdNow(opened.database, job_id);
  const generation = { document_id: document.document_id, user_id: document.user_id, generation: 2 };
  const chunks = chunksOf(generation, ["new one", "new two", "new three"]);
  const seen: string[][] = [];
  const embeddings = chunks.map(({ chunk_id }) => ({ chunk_id, vector: vectorOf(1) }));
  for (const status of STATUSES.slice(1, -1)) {
    await opened.database.transaction(async (tx) => {
      await advanceJobs(tx, [step(hold, status)]);
      if (status === "parsing") {
        await replacePages(tx, generation, { title: null, pages: [{ page_number: 1, text: "new" }] });
      }
      if (status === "chunking") {
        await replaceChunks(tx, generation, { chunker: { name: "test", version: "2" }, chunks });
      }
      if (status === "embedding_in_progress") {
        await storeEmbeddings(tx, generation, { model: "test-model", version: "1", embeddings });
      }
      if (status === "embeddings_stored") await publishGeneration(tx, generation);
    });
    seen.push(await textsFound(document.user_id));
  }
  expect(seen.slice(0, -1)).toEqual(Array.from({ length: 7 }, () => ["old one", "old two"]));
  expect(seen.at(-1)).toEqual(["new one", "new three", "new two"]);
  expect(await getDocument(opened.database, document)).toMatchObject({
    processing_status: "complete",
    state: "done",
    live_generation: 2,
    chunk_count: 3,
  });
  expect(await storedOf(document.document_id, 1)).toEqual({ pages: 0, chunks: 0, vectors: 0, models: 0 });
});

test("a reprocessing that fails or is cancelled leaves the old generation searchable", async () => {
  const document = await complete();
  const first = await reprocess(document, "embed");
  const hold = await holdNow(opened.database, first.job_id);
  await failJob(opened.database, hold, {
    stage: "embed",
    error: new AppError({ kind: "permanent", code: "embedding_rejected", message: "No." }),
    maxRetries: 0,
    delayMs: 0,
  });
  expect(await textsFound(document.user_id)).toEqual(["one", "two"]);
  await opened.database.transaction((tx) => retryJob(tx, { job_id: first.job_id, correlation_id: "x" }));
  await cancelJob(opened.database, { job_id: first.job_id, correlation_id: "x" });
  expect(await textsFound(document.user_id)).toEqual(["one", "two"]);
});

test("a reprocessing shows its title and page count when it is published, and not if it fails", async () => {
  const document = await complete();
  const texts = ["one", "two"];
  await opened.database.run("update upload_pipeline.document_pages set title = 'Old' where document_id = $1", [
    document.document_id,
  ]);
  await opened.database.run("update upload_pipeline.documents set title = 'Old' where document_id = $1", [
    document.document_id,
  ]);
  const shown = async () => {
    const { title, page_count } = await getDocument(opened.database, document);
    return { title, page_count };
  };
  const first = await reprocess(document, "parse");
  const hold = await holdNow(opened.database, first.job_id);
  const second = { document_id: document.document_id, user_id: document.user_id, generation: 2 };
  const pages = texts.map((text, index) => ({ page_number: index + 1, text }));
  await opened.database.transaction(async (tx) => {
    await advanceJobs(tx, [step(hold, "parsing")]);
    await replacePages(tx, second, { title: "New", pages });
    await advanceJobs(tx, [step(hold, "parsed")]);
    await replacePages(tx, second, { title: "New", pages });
  });
  expect(await shown()).toEqual({ title: "Old", page_count: 1 });
  await cancelJob(opened.database, { job_id: first.job_id, correlation_id: "x" });
  expect(await shown()).toEqual({ title: "Old", page_count: 1 });
  // The pages of the one that failed are the newest, and copied with their title.
  await reprocess(document, "plan_chunks");
  const third = { ...second, generation: 3 };
  const chunks = chunksOf(third, texts);
  const embeddings = chunks.map(({ chunk_id }) => ({ chunk_id, vector: vectorOf(1) }));
  await replaceChunks(opened.database, third, { chunker: { name: "test", version: "2" }, chunks });
  await storeEmbeddings(opened.database, third, { model: "test-model", version: "1", embeddings });
  expect(await shown()).toEqual({ title: "Old", page_count: 1 });
  await opened.database.transaction((tx) => publishGeneration(tx, third));
  expect(await shown()).toEqual({ title: "New", page_count: 2 });
});

test("copied passages keep their text and place, and get ids of their own", async () => {
  const document = await complete(["a", "b", "c"]);
  await reprocess(document, "embed");
  const rows = await opened.database.many(
    z.object({ generation: z.number(), chunk_id: z.string(), facts: z.string() }),
    `select generation, chunk_id, (to_jsonb(c) - '{chunk_id,generation,created_at,embedding,embed_model,embed_version,embedded_at}'::text[])::text as facts
     from upload_pipeline.document_chunks c where document_id = $1 order by generation, ordinal`,
    [document.document_id],
  );
  const factsOf = (generation: number) => rows.filter((row) => row.generation === generation).map((row) => row.facts);
  expect(factsOf(2)).toEqual(factsOf(1));
  const ids = chunksOf({ document_id: document.document_id, generation: 2 }, ["a", "b", "c"]);
  expect(rows.filter((row) => row.generation === 2).map((row) => row.chunk_id)).toEqual(
    ids.map((chunk) => chunk.chunk_id),
  );
});

test("a job of the document under way refuses reprocessing, whatever its state", async () => {
  for (const state of STATES.filter((candidate) => !TERMINAL_STATES.some((terminal) => terminal === candidate))) {
    const job_id = await insertJobInState(opened.database, { state, status: "parsing" });
    const { document_id } = await documentOf(job_id);
    await expect(reprocess({ document_id }, "parse")).rejects.toMatchObject({
      kind: "conflict",
      code: "job_unfinished",
      details: { job_id },
    });
  }
});

test("reprocessing twice is refused the second time", async () => {
  const document = await complete();
  await reprocess(document, "chunk");
  await expect(reprocess(document, "chunk")).rejects.toMatchObject({ code: "job_unfinished" });
  expect(await storedOf(document.document_id, 3)).toMatchObject({ pages: 0 });
});

test("another user's document cannot be reprocessed", async () => {
  const { document_id } = await complete();
  const refused = { kind: "not_found", code: "document_not_found" };
  await expect(reprocess({ document_id, user_id: randomUUID() }, "parse")).rejects.toMatchObject(refused);
  await expect(reprocess({ document_id: randomUUID() }, "parse")).rejects.toMatchObject(refused);
});

test("a document whose file was never verified has to be uploaded again", async () => {
  const { job } = await createUpload(opened.database);
  await cancelJob(opened.database, { job_id: job.job_id, correlation_id: "x" });
  await expect(reprocess(job, "parse")).rejects.toMatchObject({ kind: "conflict", code: "upload_again" });
});

test("a document that never got that far is reprocessed from before only, and a refusal leaves nothing", async () => {
  const job_id = await insertJobInState(opened.database, { state: "deadletter", status: "parsing" });
  const { document_id } = await documentOf(job_id);
  const refused = { kind: "conflict", code: "reprocess_source_missing" };
  await expect(reprocess({ document_id }, "chunk")).rejects.toMatchObject(refused);
  expect(await documentOf(job_id)).toMatchObject({ generation_count: 1, job_count: 1 });
  expect(await reprocess({ document_id }, "parse")).toMatchObject({ status: "parsing", state: "queued" });
});

test("a status whose rows are missing is no place to begin", async () => {
  const job_id = await insertJobInState(opened.database, { state: "deadletter", status: "embedding_queued" });
  const { document_id } = await documentOf(job_id);
  const refused = { kind: "conflict", code: "reprocess_source_missing" };
  await expect(reprocess({ document_id }, "chunk")).rejects.toMatchObject(refused);
  await opened.database.run(
    `insert into upload_pipeline.document_pages (document_id, generation, page_number, text) values ($1, 1, 1, 'x')`,
    [document_id],
  );
  await expect(reprocess({ document_id }, "embed")).rejects.toMatchObject(refused);
  expect(await documentOf(job_id)).toMatchObject({ generation_count: 1, job_count: 1 });
  expect(await reprocess({ document_id }, "chunk")).toMatchObject({ status: "chunking" });
  expect(await storedOf(document_id, 2)).toMatchObject({ pages: 1 });
});

async function documentOf(jobId: string) {
  const [row] = await opened.database.many(
    z.object({ document_id: z.string(), generation_count: z.number(), job_count: z.number() }),
    `select d.document_id, d.generation_count,
       (select count(*) from upload_pipeline.upload_jobs o where o.document_id = d.document_id) as job_count
     from upload_pipeline.documents d join upload_pipeline.upload_jobs j using (document_id) where j.job_id = $1`,
    [jobId],
  );
  if (!row) throw new Error("There is no such job.");
  return row;
}
