import { z } from "zod";
import type { Generation } from "./generations.ts";
import type { Queryable } from "./queryable.ts";

const chunkRow = z.object({
  chunk_id: z.string(),
  ordinal: z.number(),
  text: z.string(),
  token_count: z.number(),
  page_start: z.number(),
  page_end: z.number(),
  char_start: z.number(),
  char_end: z.number(),
  section_path: z.array(z.string()),
  chunker_name: z.string(),
  chunker_version: z.string(),
  embed_model: z.string().nullable(),
  embed_version: z.string().nullable(),
});
export type ChunkRow = z.infer<typeof chunkRow>;

/** A user's generation; with another's, nothing is found. */
type OwnGeneration = Generation & { user_id: string };

/** Chunks of the generation in their order, behind `after`, without their vectors. */
export function listChunks(
  db: Queryable,
  generation: OwnGeneration,
  page: { after: number; limit: number },
): Promise<ChunkRow[]> {
  return db.many(
    chunkRow,
    `select ${Object.keys(chunkRow.shape).join(", ")} from ${db.schema}.document_chunks
     where document_id = $1 and generation = $2 and user_id = $3 and ordinal > $4
     order by ordinal limit $5`,
    [generation.document_id, generation.generation, generation.user_id, page.after, page.limit],
  );
}

const pieceRow = z.object({
  page_number: z.number(),
  /** Code points of the whole page, and where this piece of it begins. */
  page_length: z.number(),
  offset: z.number(),
  text: z.string(),
});
export type PagePiece = z.infer<typeof pieceRow>;

export interface ContentRange {
  /** Where to begin: a page, and a code point in it. */
  page_number: number;
  offset: number;
  /** The last page that is wanted. */
  last_page: number;
  maxPages: number;
  /** Of all pieces together, in code points. */
  maxLength: number;
}

/**
 * Pages of the generation from a place on, the first and the last perhaps in part. Pages behind the one that reaches
 * `maxLength` come with no text.
 */
export function listPagePieces(db: Queryable, generation: OwnGeneration, range: ContentRange): Promise<PagePiece[]> {
  return db.many(
    pieceRow,
    `with wanted as (
       select p.page_number, p.text, length(p.text) as page_length,
         case when p.page_number = $4 then least($5::int, length(p.text)) else 0 end as skipped
       from ${db.schema}.document_pages p
       join ${db.schema}.documents d on d.document_id = p.document_id
       where p.document_id = $1 and p.generation = $2 and d.user_id = $3 and p.page_number between $4 and $6
       order by p.page_number limit $7
     ), measured as (
       select page_number, text, page_length, skipped,
         $8::int - (sum(page_length - skipped) over (order by page_number) - (page_length - skipped)) as room
       from wanted
     )
     select page_number, page_length, skipped as "offset", substr(text, skipped + 1, greatest(room, 0)::int) as text
     from measured order by page_number`,
    [
      generation.document_id,
      generation.generation,
      generation.user_id,
      range.page_number,
      range.offset,
      range.last_page,
      range.maxPages,
      range.maxLength,
    ],
  );
}
