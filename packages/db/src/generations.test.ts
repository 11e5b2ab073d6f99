import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { getDocument } from "./documents.ts";
import {
  countChunks,
  findTitle,
  listPages,
  listUnembeddedChunks,
  publishGeneration,
  replaceChunks,
  replacePages,
  storeEmbeddings,
} from "./generations.ts";
import { one } from "./queryable.ts";
import { chunksOf, createUpload, openTestDatabase, vectorOf, type TestDatabase } from "./testing/index.ts";

let opened: TestDatabase;
beforeAll(async () => {
  opened = await openTestDatabase();
});
afterAll(() => opened.close());

const chunker = { name: "test", version: "1" };

async function newGeneration(generation = 1) {
  const { document } = await createUpload(opened.database);
  return { document_id: document.document_id, user_id: document.user_id, generation };
}

async function chunkRows(documentId: string) {
  return opened.database.many(
    z.object({ generation: z.number(), ordinal: z.number(), text: z.string(), section_path: z.array(z.string()) }),
    `select generation, ordinal, text, section_path from upload_pipeline.document_chunks
     where document_id = $1 order by generation, ordinal`,
    [documentId],
  );
}

const ODD_TEXTS = [
  "plain",
  `quotes ' and " and \`, {braces}, commas, "{}"`,
  "back\\slash \\n \\\\ and \\u0000",
  "emoji 😀 and 👨‍👩‍👧, Größe, 日本語",
  "lines\nand\ttabs\r\n",
  "NULL",
  " ",
];

test("pages come back as they were stored, empty ones too", async () => {
  const generation = await newGeneration();
  const pages = [...ODD_TEXTS, ""].map((text, index) => ({ page_number: index + 1, text }));
  await replacePages(opened.database, generation, { title: "Title 'x'", pages });
  expect(await listPages(opened.database, generation)).toEqual(pages);
  expect(await getDocument(opened.database, generation)).toMatchObject({
    title: "Title 'x'",
    page_count: pages.length,
  });
});

test("what search sees keeps its title and page count until another generation takes its place", async () => {
  const first = await newGeneration();
  const second = { ...first, generation: 2 };
  await fillGeneration(first, { title: "Old", texts: ["one"] });
  await opened.database.transaction((tx) => publishGeneration(tx, first));
  await fillGeneration(second, { title: "New", texts: ["one", "two"] });
  expect(await getDocument(opened.database, first)).toMatchObject({ title: "Old", page_count: 1 });
  expect([await findTitle(opened.database, first), await findTitle(opened.database, second)]).toEqual(["Old", "New"]);
  await opened.database.transaction((tx) => publishGeneration(tx, second));
  expect(await getDocument(opened.database, first)).toMatchObject({ title: "New", page_count: 2 });
});

test("a generation without a title takes the one of before away", async () => {
  const first = await newGeneration();
  const second = { ...first, generation: 2 };
  await fillGeneration(first, { title: "Old", texts: ["one"] });
  await opened.database.transaction((tx) => publishGeneration(tx, first));
  await fillGeneration(second, { title: null, texts: ["one"] });
  await opened.database.transaction((tx) => publishGeneration(tx, second));
  expect(await getDocument(opened.database, first)).toMatchObject({ title: null, page_count: 1 });
});

/** Pages, a chunk for each, and their vectors. */
async function fillGeneration(
  generation: { document_id: string; user_id: string; generation: number },
  { title, texts }: { title: string | null; texts: string[] },
): Promise<void> {
  const pages = texts.map((text, index) => ({ page_number: index + 1, text }));
  const chunks = chunksOf(generation, texts);
  const embeddings = chunks.map((chunk) => ({ chunk_id: chunk.chunk_id, vector: vectorOf(1) }));
  await replacePages(opened.database, generation, { title, pages });
  await replaceChunks(opened.database, generation, { chunker, chunks });
  await storeEmbeddings(opened.database, generation, { model: "m", version: "1", embeddings });
}

test("storing pages again replaces them", async () => {
  const generation = await newGeneration();
  const pages = [1, 2, 3].map((page_number) => ({ page_number, text: `page ${page_number}` }));
  await replacePages(opened.database, generation, { title: null, pages });
  await replacePages(opened.database, generation, { title: null, pages: pages.slice(0, 1) });
  expect(await listPages(opened.database, generation)).toEqual(pages.slice(0, 1));
  await replacePages(opened.database, generation, { title: null, pages: [] });
  expect(await listPages(opened.database, generation)).toEqual([]);
});

test("a NUL or half a surrogate pair does not lose the document, and offsets stay", async () => {
  const generation = await newGeneration();
  const text = "a\0b\uD83Dc";
  const [chunk] = chunksOf(generation, [text]);
  if (!chunk) throw new Error("unreachable");
  await replacePages(opened.database, generation, { title: "t\0", pages: [{ page_number: 1, text }] });
  await replaceChunks(opened.database, generation, {
    chunker,
    chunks: [{ ...chunk, section_path: ["\0", "x\uDE00"] }],
  });
  const [page] = await listPages(opened.database, generation);
  expect(page?.text).toBe("a\uFFFDb\uFFFDc");
  expect(page?.text).toHaveLength(text.length);
  expect(await chunkRows(generation.document_id)).toEqual([
    { generation: 1, ordinal: 0, text: "a\uFFFDb\uFFFDc", section_path: ["\uFFFD", "x\uFFFD"] },
  ]);
});

test("chunks keep odd texts and section paths of unequal length", async () => {
  const generation = await newGeneration();
  const paths = [[], ["A"], ["A", `B "quoted", {c}`], ["back\\slash", "😀", "NULL", ""], ["x"], ["y"], ["z"]];
  const chunks = chunksOf(generation, ODD_TEXTS);
  for (const [index, chunk] of chunks.entries()) chunk.section_path = paths[index] ?? [];
  await replaceChunks(opened.database, generation, { chunker, chunks });
  expect(await chunkRows(generation.document_id)).toEqual(
    chunks.map(({ ordinal, text, section_path }) => ({ generation: 1, ordinal, text, section_path })),
  );
});

test("chunking again leaves nothing stale", async () => {
  const generation = await newGeneration();
  await replaceChunks(opened.database, generation, { chunker, chunks: chunksOf(generation, ["a", "b", "c"]) });
  await replaceChunks(opened.database, generation, { chunker, chunks: chunksOf(generation, ["d", "e"]) });
  expect((await chunkRows(generation.document_id)).map((row) => row.text)).toEqual(["d", "e"]);
  await replaceChunks(opened.database, generation, { chunker, chunks: [] });
  expect(await chunkRows(generation.document_id)).toEqual([]);
});

test("vectors are stored once and asked for only where they lack", async () => {
  const generation = await newGeneration();
  const chunks = chunksOf(generation, ["a", "b", "c"]);
  await replaceChunks(opened.database, generation, { chunker, chunks });
  const [first, second] = chunks;
  if (!first || !second) throw new Error("unreachable");
  const stored = await storeEmbeddings(opened.database, generation, {
    model: "m1",
    version: "1",
    embeddings: [
      { chunk_id: second.chunk_id, vector: vectorOf(0.5, -1e-7) },
      { chunk_id: first.chunk_id, vector: vectorOf(1) },
    ],
  });
  expect(stored).toBe(2);
  expect(await countChunks(opened.database, generation, "m1")).toEqual({
    chunk_count: 3,
    embedded_count: 2,
    token_count: 3,
  });
  const missing = await listUnembeddedChunks(opened.database, generation, { model: "m1", limit: 10 });
  expect(missing).toEqual([
    { chunk_id: chunks[2]?.chunk_id, ordinal: 2, text: "c", token_count: 1, section_path: ["Section", "2"] },
  ]);
});

test("a vector fits beside the longest of texts and section paths", async () => {
  const generation = await newGeneration();
  const [chunk] = chunksOf(generation, [Array.from({ length: 5_000 }, () => randomUUID()).join(" ")]);
  if (!chunk) throw new Error("unreachable");
  chunk.section_path = Array.from({ length: 200 }, () => randomUUID());
  await replaceChunks(opened.database, generation, { chunker, chunks: [chunk] });
  const embeddings = [{ chunk_id: chunk.chunk_id, vector: vectorOf(1, 2, 3) }];
  const stored = await storeEmbeddings(opened.database, generation, { model: "m", version: "1", embeddings });
  expect(stored).toBe(1);
  expect(await chunkRows(generation.document_id)).toMatchObject([
    { text: chunk.text, section_path: chunk.section_path },
  ]);
});

test("vectors of another model count as missing", async () => {
  const generation = await newGeneration();
  const chunks = chunksOf(generation, ["a", "b"]);
  await replaceChunks(opened.database, generation, { chunker, chunks });
  const embeddings = chunks.map((chunk) => ({ chunk_id: chunk.chunk_id, vector: vectorOf(1) }));
  await storeEmbeddings(opened.database, generation, { model: "old", version: "1", embeddings });
  expect(await countChunks(opened.database, generation, "new")).toMatchObject({ chunk_count: 2, embedded_count: 0 });
  expect(await listUnembeddedChunks(opened.database, generation, { model: "new", limit: 1 })).toHaveLength(1);
  expect(await listUnembeddedChunks(opened.database, generation, { model: "new", limit: 10 })).toHaveLength(2);
});

test("vectors go to chunks of the generation only", async () => {
  const mine = await newGeneration();
  const theirs = await newGeneration();
  const chunks = chunksOf(theirs, ["a"]);
  await replaceChunks(opened.database, theirs, { chunker, chunks });
  const embeddings = chunks.map((chunk) => ({ chunk_id: chunk.chunk_id, vector: vectorOf(1) }));
  expect(await storeEmbeddings(opened.database, mine, { model: "m", version: "1", embeddings })).toBe(0);
});

test.each([
  ["of the wrong length", [1, 2, 3]],
  ["of zeros", vectorOf()],
  ["with a number that is not finite", vectorOf(Number.NaN)],
])("a vector %s is refused", async (_what, vector) => {
  const generation = await newGeneration();
  const chunks = chunksOf(generation, ["a"]);
  await replaceChunks(opened.database, generation, { chunker, chunks });
  const embeddings = chunks.map((chunk) => ({ chunk_id: chunk.chunk_id, vector }));
  const storing = storeEmbeddings(opened.database, generation, { model: "m", version: "1", embeddings });
  await expect(storing).rejects.toMatchObject({ code: "database_error" });
});

test.each([
  ["a vector without a model", `embedding = '[${vectorOf(1).join(",")}]'`],
  ["a model without a vector", "embed_model = 'm', embed_version = '1', embedded_at = now()"],
  ["a page range that ends before it starts", "page_start = 3, page_end = 2"],
  ["an empty range of text", "char_end = char_start"],
  ["no tokens", "token_count = 0"],
])("a chunk with %s is refused", async (_what, assignment) => {
  const generation = await newGeneration();
  await replaceChunks(opened.database, generation, { chunker, chunks: chunksOf(generation, ["a"]) });
  const changing = opened.database.run(
    `update upload_pipeline.document_chunks set ${assignment} where document_id = $1`,
    [generation.document_id],
  );
  await expect(changing).rejects.toMatchObject({ code: "database_error" });
});

test("publishing makes one generation live and removes the others", async () => {
  const first = await newGeneration();
  const second = { ...first, generation: 2 };
  for (const generation of [first, second]) await fillGeneration(generation, { title: null, texts: ["text"] });
  await opened.database.transaction((tx) => publishGeneration(tx, second));
  expect(await getDocument(opened.database, first)).toMatchObject({ live_generation: 2, chunk_count: 1 });
  expect(await chunkRows(first.document_id)).toEqual([expect.objectContaining({ generation: 2 })]);
  expect(await listPages(opened.database, first)).toEqual([]);
  expect(await listPages(opened.database, second)).toHaveLength(1);
});

test("a generation without passages is not published, so that it does not replace one that has some", async () => {
  const generation = await newGeneration();
  const publishing = opened.database.transaction((tx) => publishGeneration(tx, generation));
  await expect(publishing).rejects.toMatchObject({ kind: "internal", code: "generation_incomplete" });
  expect(await getDocument(opened.database, generation)).toMatchObject({ live_generation: null });
});

test("a generation with a passage that lacks its vector is not published", async () => {
  const generation = await newGeneration();
  await replaceChunks(opened.database, generation, { chunker, chunks: chunksOf(generation, ["a"]) });
  const publishing = opened.database.transaction((tx) => publishGeneration(tx, generation));
  await expect(publishing).rejects.toMatchObject({ kind: "internal", code: "generation_incomplete" });
  expect(await getDocument(opened.database, generation)).toMatchObject({ live_generation: null });
});

test("deleting a document removes its jobs, pages and chunks", async () => {
  const generation = await newGeneration();
  await replacePages(opened.database, generation, { title: null, pages: [{ page_number: 1, text: "x" }] });
  await replaceChunks(opened.database, generation, { chunker, chunks: chunksOf(generation, ["a"]) });
  await opened.database.run("delete from upload_pipeline.documents where document_id = $1", [generation.document_id]);
  const left = await one(
    opened.database,
    z.object({ total: z.number() }),
    `select (select count(*) from upload_pipeline.document_pages where document_id = $1)
       + (select count(*) from upload_pipeline.document_chunks where document_id = $1)
       + (select count(*) from upload_pipeline.upload_jobs where document_id = $1) as total`,
    [generation.document_id],
  );
  expect(left).toEqual({ total: 0 });
});
