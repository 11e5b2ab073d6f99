import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { STATUSES } from "./pipeline.ts";
import { hasOtherModels, searchChunks, type ChunkQuery } from "./search.ts";
import {
  createCompleteDocument,
  openTestDatabase,
  vectorOf,
  type PassageInput,
  type TestDatabase,
} from "./testing/index.ts";

let opened: TestDatabase;
beforeAll(async () => {
  opened = await openTestDatabase();
});
afterAll(() => opened.close());

function store(passages: PassageInput[], user_id = randomUUID(), extra: { model?: string; metadata?: object } = {}) {
  const { model, metadata } = extra;
  return createCompleteDocument(opened.database, {
    passages,
    upload: { user_id, ...(metadata ? { metadata: { ...metadata } } : {}) },
    ...(model === undefined ? {} : { model }),
  }).then((document) => ({ ...document, user_id }));
}

function search(user_id: string, query: Partial<ChunkQuery> = {}) {
  return searchChunks(opened.database, {
    user_id,
    text: "",
    vector: vectorOf(1),
    model: "test-model",
    threshold: 0.3,
    limit: 10,
    documentIds: undefined,
    metadata: undefined,
    ...query,
  });
}

async function textsFor(user_id: string, query: Partial<ChunkQuery> = {}): Promise<string[]> {
  return (await search(user_id, query)).map((found) => found.text);
}

test("a passage comes with its citation", async () => {
  const made = await store([{ text: "The deductible is 500.", vector: vectorOf(3, 4) }]);
  expect(await search(made.user_id)).toEqual([
    {
      document_id: made.document_id,
      filename: "letter.txt",
      chunk_id: made.chunk_ids[0],
      text: "The deductible is 500.",
      similarity: expect.closeTo(0.6, 6),
      page_start: 1,
      page_end: 1,
      section_path: ["Section", "0"],
      token_count: 6,
    },
  ]);
});

test("no user finds another's text, not even by naming the document", async () => {
  const theirs = await store([{ text: "secret", vector: vectorOf(1) }]);
  const mine = await store([{ text: "own", vector: vectorOf(1) }]);
  expect(await textsFor(mine.user_id, { text: "secret" })).toEqual(["own"]);
  expect(await textsFor(mine.user_id, { documentIds: [theirs.document_id] })).toEqual([]);
  expect(await textsFor(randomUUID())).toEqual([]);
});

test("only the live generation is found, whatever a later job has stored already", async () => {
  const made = await store([{ text: "done", vector: vectorOf(1) }]);
  await opened.database.run(
    `insert into upload_pipeline.document_chunks (chunk_id, document_id, user_id, generation, ordinal, text, token_count,
       page_start, page_end, char_start, char_end, chunker_name, chunker_version, embedding, embed_model, embed_version, embedded_at)
     select gen_random_uuid(), document_id, user_id, 2, ordinal, 'half made', token_count, page_start, page_end, char_start,
       char_end, chunker_name, chunker_version, embedding, embed_model, embed_version, embedded_at
     from upload_pipeline.document_chunks where document_id = $1`,
    [made.document_id],
  );
  for (const status of STATUSES) {
    await opened.database.run("update upload_pipeline.documents set processing_status = $2 where document_id = $1", [
      made.document_id,
      status,
    ]);
    expect(await textsFor(made.user_id)).toEqual(["done"]);
  }
});

test("a document that never was complete is not found, not even with every vector stored", async () => {
  const made = await store([{ text: "all stored", vector: vectorOf(1) }]);
  for (const status of STATUSES) {
    await opened.database.run(
      "update upload_pipeline.documents set processing_status = $2, live_generation = null where document_id = $1",
      [made.document_id, status],
    );
    expect(await textsFor(made.user_id)).toEqual([]);
  }
});

test("only vectors of the asked model are compared", async () => {
  const made = await store([{ text: "old", vector: vectorOf(1) }], randomUUID(), { model: "old-model" });
  await store([{ text: "new", vector: vectorOf(1) }], made.user_id, { model: "new-model" });
  expect(await textsFor(made.user_id, { model: "new-model" })).toEqual(["new"]);
  expect(await textsFor(made.user_id, { model: "old-model" })).toEqual(["old"]);
  expect(await textsFor(made.user_id, { model: "other-model" })).toEqual([]);
  const scope = { user_id: made.user_id, documentIds: undefined, metadata: undefined };
  expect(await hasOtherModels(opened.database, { ...scope, model: "other-model" })).toBe(true);
  expect(await hasOtherModels(opened.database, { ...scope, model: "new-model" })).toBe(true);
  const old = { ...scope, model: "old-model", documentIds: [made.document_id] };
  expect(await hasOtherModels(opened.database, old)).toBe(false);
  expect(await hasOtherModels(opened.database, { ...scope, user_id: randomUUID(), model: "x" })).toBe(false);
});

test("nothing below the threshold is answered, whatever its words", async () => {
  const made = await store([
    { text: "near", vector: vectorOf(3, 4) },
    { text: "deductible far away", vector: vectorOf(1, 10) },
  ]);
  expect(await textsFor(made.user_id, { text: "deductible", threshold: 0.6 - 1e-6 })).toEqual(["near"]);
  expect(await textsFor(made.user_id, { text: "deductible", threshold: 0.7 })).toEqual([]);
  expect(await textsFor(made.user_id, { text: "deductible", threshold: -1 })).toHaveLength(2);
});

test("no more than the limit comes back, the best first", async () => {
  const made = await store([3, 1, 2, 0].map((far) => ({ text: `far ${far}`, vector: vectorOf(10, far) })));
  expect(await textsFor(made.user_id, { limit: 3 })).toEqual(["far 0", "far 1", "far 2"]);
  expect(await textsFor(made.user_id, { limit: 0 })).toEqual([]);
});

test("a search stays within the named documents and the asked metadata", async () => {
  const first = await store([{ text: "first", vector: vectorOf(1) }], randomUUID(), {
    metadata: { policy: "A", year: 1 },
  });
  const second = await store([{ text: "second", vector: vectorOf(1) }], first.user_id, { metadata: { policy: "B" } });
  expect(await textsFor(first.user_id, { documentIds: [second.document_id] })).toEqual(["second"]);
  expect(await textsFor(first.user_id, { documentIds: [] })).toEqual([]);
  expect(await textsFor(first.user_id, { metadata: { policy: "A" } })).toEqual(["first"]);
  expect(await textsFor(first.user_id, { metadata: { policy: "A", year: 2 } })).toEqual([]);
  expect(await textsFor(first.user_id, { metadata: {} })).toHaveLength(2);
});

test("a passage found by meaning and by words beats one found by meaning alone", async () => {
  const made = await store([
    { text: "Nothing of note here.", vector: vectorOf(10, 1) },
    { text: "The annual deductible applies.", vector: vectorOf(10, 2) },
    { text: "Nor here.", vector: vectorOf(10, 3) },
  ]);
  expect(await textsFor(made.user_id, { text: "deductible" })).toEqual([
    "The annual deductible applies.",
    "Nothing of note here.",
    "Nor here.",
  ]);
});

test("the words of a natural question are alternatives", async () => {
  const made = await store([
    { text: "Unrelated.", vector: vectorOf(10, 1) },
    { text: "Emergency room visits cost a copay.", vector: vectorOf(10, 2) },
  ]);
  const [best] = await textsFor(made.user_id, {
    text: "How much do I have to pay when I visit the emergency room abroad?",
  });
  expect(best).toBe("Emergency room visits cost a copay.");
});

test.each([
  "",
  "   ",
  "the of and",
  "?!",
  'it\'s "quoted" `x`',
  "back\\slash \\' \\\\",
  "a & b | !c <-> (d:*)",
  "'; drop table documents; --",
  "😀 日本語",
  "nul\0nul \uD800",
])("the question %j is answered by meaning all the same", async (text) => {
  const made = await store([{ text: "A passage.", vector: vectorOf(1) }]);
  expect(await textsFor(made.user_id, { text })).toEqual(["A passage."]);
});

test("words with quotes and backslashes are found", async () => {
  const made = await store([
    { text: "Other.", vector: vectorOf(10, 1) },
    { text: String.raw`See C:\temp\o'brien.txt for it.`, vector: vectorOf(10, 2) },
  ]);
  const [best] = await textsFor(made.user_id, { text: String.raw`where is C:\temp\o'brien.txt` });
  expect(best).toContain("brien");
});

test("equal passages come in the same order every time", async () => {
  const made = await store(
    Array.from({ length: 6 }, (_none, index) => ({ text: `same ${index}`, vector: vectorOf(1) })),
  );
  const first = await textsFor(made.user_id);
  for (let time = 0; time < 3; time++) expect(await textsFor(made.user_id)).toEqual(first);
  expect(await textsFor(made.user_id, { limit: 3 })).toEqual(first.slice(0, 3));
});

test("a question without a direction finds nothing rather than everything", async () => {
  const made = await store([{ text: "A passage.", vector: vectorOf(1) }]);
  expect(await textsFor(made.user_id, { vector: vectorOf(), threshold: -1 })).toEqual([]);
});
