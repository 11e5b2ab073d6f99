import { z } from "zod";
import type { Queryable } from "./queryable.ts";
import { storableJson, storableText } from "./storable-text.ts";

const foundRow = z.object({
  document_id: z.string(),
  filename: z.string(),
  chunk_id: z.string(),
  text: z.string(),
  similarity: z.number(),
  page_start: z.number(),
  page_end: z.number(),
  section_path: z.array(z.string()),
  token_count: z.number(),
});
export type FoundChunk = z.infer<typeof foundRow>;

export interface ChunkQuery {
  user_id: string;
  /** The question's words, for the full-text leg. */
  text: string;
  /** The question's vector, made by `model`. */
  vector: readonly number[];
  model: string;
  /** Least cosine similarity, -1 to 1. */
  threshold: number;
  limit: number;
  documentIds: readonly string[] | undefined;
  metadata: Record<string, unknown> | undefined;
}

/** k of reciprocal rank fusion; 60 is the value of the method's authors and the one measured here. */
const FUSION_K = 60;
/** How deep each leg is read before they are fused. */
const LEG_DEPTH = 100;

/**
 * The user's passages nearest to the question, best first: cosine similarity and full-text rank fused by reciprocal
 * rank. Only live generations and vectors of the asked model; nothing below the threshold. A generation becomes live
 * whole, by `publishGeneration` in the transaction that completes its job, and stays live while a later job is under way.
 * Exact, not approximate: every chunk in reach of the user is compared.
 */
export function searchChunks(db: Queryable, query: ChunkQuery): Promise<FoundChunk[]> {
  return db.many(
    foundRow,
    // NaN is what a question without a direction gets, and Postgres sorts it above every number.
    // Lexemes are OR-ed, because a natural question seldom has all its words in one passage.
    `with question as (
       select string_agg('''' || replace(replace(lexeme, '\\', '\\\\'), '''', '''''') || '''', ' | ')::tsquery as words
       from unnest(tsvector_to_array(to_tsvector('english', $2))) as lexeme
     ), scoped as materialized (
       select c.chunk_id, 1 - (c.embedding operator(${db.schema}.<=>) $3::${db.schema}.embedding) as similarity,
         case when c.search_text @@ q.words then ts_rank(c.search_text, q.words) end as rank
       from ${db.schema}.document_chunks c
       join ${db.schema}.documents d on d.document_id = c.document_id and d.live_generation = c.generation
       cross join question q
       where c.user_id = $1 and d.user_id = $1 and c.embed_model = $4
         and ($5::uuid[] is null or d.document_id = any ($5))
         and ($6::jsonb is null or d.metadata @> $6)
     ), near as (
       select chunk_id, similarity, rank from scoped where similarity >= $7 and similarity <> 'NaN'
     ), legs as (
       (select chunk_id, row_number() over (order by similarity desc, chunk_id) as place from near
        order by place limit $9)
       union all
       (select chunk_id, row_number() over (order by rank desc, chunk_id) as place from near where rank is not null
        order by place limit $9)
     ), fused as (
       select chunk_id, sum(1.0 / ($10 + place)) as score from legs group by chunk_id
     )
     select c.document_id, d.filename, c.chunk_id, c.text, n.similarity, c.page_start, c.page_end, c.section_path,
       c.token_count
     from fused f
     join near n on n.chunk_id = f.chunk_id
     join ${db.schema}.document_chunks c on c.chunk_id = f.chunk_id
     join ${db.schema}.documents d on d.document_id = c.document_id
     order by f.score desc, n.similarity desc, c.chunk_id
     limit $8`,
    [
      query.user_id,
      storableText(query.text),
      `[${query.vector.join(",")}]`,
      query.model,
      query.documentIds ? [...query.documentIds] : null,
      query.metadata ? storableJson(query.metadata) : null,
      query.threshold,
      query.limit,
      LEG_DEPTH,
      FUSION_K,
    ],
  );
}

/**
 * Whether documents in this scope were embedded by another model, so that a search by this one cannot see them. Looks at
 * the first passage of each: the vectors of a generation are of one model.
 */
export async function hasOtherModels(
  db: Queryable,
  scope: Pick<ChunkQuery, "user_id" | "model" | "documentIds" | "metadata">,
): Promise<boolean> {
  const found = await db.run(
    `select from ${db.schema}.documents d
     cross join lateral (
       -- by itself, so that no plan reads all the user's passages for it
       select c.embed_model from ${db.schema}.document_chunks c
       where c.document_id = d.document_id and c.generation = d.live_generation and c.ordinal = 0
       offset 0
     ) first
     where d.user_id = $1 and ($3::uuid[] is null or d.document_id = any ($3))
       and ($4::jsonb is null or d.metadata @> $4) and first.embed_model <> $2
     limit 1`,
    [
      scope.user_id,
      scope.model,
      scope.documentIds ? [...scope.documentIds] : null,
      scope.metadata ? storableJson(scope.metadata) : null,
    ],
  );
  return found > 0;
}
