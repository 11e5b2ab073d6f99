import { AppError } from "@pipeline/runtime";
import { z } from "zod";
import { maybeOne, type Queryable } from "./queryable.ts";
import { removeOldFiles } from "./removals.ts";
import { storableJson, storableText } from "./storable-text.ts";

/** What a job builds: one generation of one document. */
export interface Generation {
  document_id: string;
  generation: number;
}

const pageRow = z.object({ page_number: z.number(), text: z.string() });
export type PageRow = z.infer<typeof pageRow>;

/**
 * Replaces the generation's pages and its title. The document shows them once search sees the generation, and at once where
 * it sees none. Behind a checkpoint's lock.
 */
export async function replacePages(
  tx: Queryable,
  generation: Generation,
  input: { title: string | null; pages: readonly PageRow[] },
): Promise<void> {
  await tx.run(`delete from ${tx.schema}.document_pages where document_id = $1 and generation = $2`, [
    generation.document_id,
    generation.generation,
  ]);
  const title = input.title === null ? null : storableText(input.title);
  await tx.run(
    `insert into ${tx.schema}.document_pages (document_id, generation, page_number, text, title)
     select $1, $2, page_number, text, case when nth = 1 then $5::text end
     from unnest($3::int[], $4::text[]) with ordinality as p (page_number, text, nth)`,
    [
      generation.document_id,
      generation.generation,
      input.pages.map((page) => page.page_number),
      input.pages.map((page) => storableText(page.text)),
      title,
    ],
  );
  await tx.run(
    `update ${tx.schema}.documents set title = $2::text, page_count = $3::int, updated_at = now()
     where document_id = $1 and live_generation is null and (title, page_count) is distinct from ($2::text, $3::int)`,
    [generation.document_id, title, input.pages.length],
  );
}

/** What the generation's pages are titled. */
export async function findTitle(db: Queryable, { document_id, generation }: Generation): Promise<string | null> {
  const titled = await maybeOne(
    db,
    z.object({ title: z.string() }),
    `select title from ${db.schema}.document_pages
     where document_id = $1 and generation = $2 and title is not null limit 1`,
    [document_id, generation],
  );
  return titled?.title ?? null;
}

export function listPages(db: Queryable, generation: Generation): Promise<PageRow[]> {
  return db.many(
    pageRow,
    `select page_number, text from ${db.schema}.document_pages
     where document_id = $1 and generation = $2 order by page_number`,
    [generation.document_id, generation.generation],
  );
}

/** A chunk as the chunk stage stores it: no embedding yet. */
export interface NewChunk {
  chunk_id: string;
  ordinal: number;
  text: string;
  token_count: number;
  page_start: number;
  page_end: number;
  char_start: number;
  char_end: number;
  section_path: readonly string[];
}

/** Replaces every chunk of the generation, so that chunking again leaves nothing stale. Behind a checkpoint's lock. */
export async function replaceChunks(
  tx: Queryable,
  generation: Generation & { user_id: string },
  input: { chunker: { name: string; version: string }; chunks: readonly NewChunk[] },
): Promise<void> {
  await tx.run(`delete from ${tx.schema}.document_chunks where document_id = $1 and generation = $2`, [
    generation.document_id,
    generation.generation,
  ]);
  const { chunks, chunker } = input;
  await tx.run(
    // Arrays of unequal length cannot be unnested, so section paths travel as JSON.
    `insert into ${tx.schema}.document_chunks (document_id, user_id, generation, chunker_name, chunker_version,
       chunk_id, ordinal, text, token_count, page_start, page_end, char_start, char_end, section_path)
     select $1, $2, $3, $4, $5, c.chunk_id, c.ordinal, c.text, c.token_count, c.page_start, c.page_end, c.char_start,
       c.char_end, array(select jsonb_array_elements_text(c.section_path::jsonb))
     from unnest($6::uuid[], $7::int[], $8::text[], $9::int[], $10::int[], $11::int[], $12::int[], $13::int[], $14::text[])
       as c (chunk_id, ordinal, text, token_count, page_start, page_end, char_start, char_end, section_path)`,
    [
      generation.document_id,
      generation.user_id,
      generation.generation,
      chunker.name,
      chunker.version,
      chunks.map((chunk) => chunk.chunk_id),
      chunks.map((chunk) => chunk.ordinal),
      chunks.map((chunk) => storableText(chunk.text)),
      chunks.map((chunk) => chunk.token_count),
      chunks.map((chunk) => chunk.page_start),
      chunks.map((chunk) => chunk.page_end),
      chunks.map((chunk) => chunk.char_start),
      chunks.map((chunk) => chunk.char_end),
      chunks.map((chunk) => storableJson(chunk.section_path)),
    ],
  );
}

const unembeddedRow = z.object({
  chunk_id: z.string(),
  ordinal: z.number(),
  text: z.string(),
  token_count: z.number(),
  section_path: z.array(z.string()),
});
export type UnembeddedChunk = z.infer<typeof unembeddedRow>;

/** Chunks of the generation that lack a vector of this model, in order. Vectors that were stored are not asked for again. */
export function listUnembeddedChunks(
  db: Queryable,
  generation: Generation,
  input: { model: string; limit: number },
): Promise<UnembeddedChunk[]> {
  return db.many(
    unembeddedRow,
    `select chunk_id, ordinal, text, token_count, section_path from ${db.schema}.document_chunks
     where document_id = $1 and generation = $2 and embed_model is distinct from $3
     order by ordinal limit $4`,
    [generation.document_id, generation.generation, input.model, input.limit],
  );
}

/** Stores one vector per chunk id. Behind `holdJob`. Answers how many chunks took one. */
export function storeEmbeddings(
  tx: Queryable,
  generation: Generation,
  input: { model: string; version: string; embeddings: readonly { chunk_id: string; vector: readonly number[] }[] },
): Promise<number> {
  return tx.run(
    `update ${tx.schema}.document_chunks c
     set embedding = e.vector::${tx.schema}.embedding, embed_model = $3, embed_version = $4, embedded_at = now()
     from unnest($5::uuid[], $6::text[]) as e (chunk_id, vector)
     where c.chunk_id = e.chunk_id and c.document_id = $1 and c.generation = $2`,
    [
      generation.document_id,
      generation.generation,
      input.model,
      input.version,
      input.embeddings.map((embedding) => embedding.chunk_id),
      input.embeddings.map((embedding) => `[${embedding.vector.join(",")}]`),
    ],
  );
}

const countRow = z.object({ chunk_count: z.number(), embedded_count: z.number(), token_count: z.number() });
export type ChunkCounts = z.infer<typeof countRow>;

/** How many chunks the generation has, how many of them carry a vector of this model, and their tokens together. */
export async function countChunks(db: Queryable, generation: Generation, model: string): Promise<ChunkCounts> {
  const [counts] = await db.many(
    countRow,
    `select count(*)::int as chunk_count, count(*) filter (where embed_model = $3 and embedding is not null)::int as embedded_count,
       coalesce(sum(token_count), 0)::int as token_count
     from ${db.schema}.document_chunks where document_id = $1 and generation = $2`,
    [generation.document_id, generation.generation, model],
  );
  return counts ?? { chunk_count: 0, embedded_count: 0, token_count: 0 };
}

/** Removes what cancelled and failed jobs left, but neither what search sees nor `source`. The document is locked. */
export async function dropGenerations(
  tx: Queryable,
  { document_id, source }: { document_id: string; source: number | null },
): Promise<void> {
  await tx.many(z.unknown(), `select ${tx.schema}.drop_generations($1, $2)`, [document_id, source]);
}

/**
 * Makes the generation the one that search sees and the document shows, and removes every other with the files of earlier
 * uploads, in the caller's transaction. Throws `generation_incomplete` (kind internal) where a chunk still lacks its
 * vector, or there are no chunks.
 */
export async function publishGeneration(tx: Queryable, generation: Generation): Promise<void> {
  const key = [generation.document_id, generation.generation];
  const published = await tx.run(
    `update ${tx.schema}.documents
     set live_generation = $2, updated_at = now(),
         title = (select p.title from ${tx.schema}.document_pages p
           where p.document_id = $1 and p.generation = $2 and p.title is not null limit 1),
         page_count = (select count(*)::int from ${tx.schema}.document_pages where document_id = $1 and generation = $2)
     where document_id = $1
       and exists (select from ${tx.schema}.document_chunks where document_id = $1 and generation = $2)
       and not exists (
         select from ${tx.schema}.document_chunks where document_id = $1 and generation = $2 and embedding is null)`,
    key,
  );
  if (published === 0) {
    throw new AppError({
      kind: "internal",
      code: "generation_incomplete",
      message: "The document is gone, or some of its passages have no vector yet, or it has none.",
    });
  }
  await tx.run(`delete from ${tx.schema}.document_chunks where document_id = $1 and generation <> $2`, key);
  await tx.run(`delete from ${tx.schema}.document_pages where document_id = $1 and generation <> $2`, key);
  if (generation.generation > 1) await removeOldFiles(tx, generation.document_id);
}
