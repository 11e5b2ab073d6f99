import { STATUSES, type Status } from "../pipeline.ts";
import type { Check } from "./check.ts";

/** A status never says more than what is stored, and nothing stored is stale. */
export const CONTENT_CHECKS: readonly Check[] = [
  {
    invariant: "I3",
    title: "The chunks of a generation are numbered from 0 without gap or double",
    severity: "error",
    bound: "documents",
    sql: (schema) => `
      with recent as materialized (${recentDocuments(schema)})
      select d.document_id::text as id,
        format('generation %s has %s chunks with %s numbers from %s to %s', c.generation, count(*),
          count(distinct c.ordinal), min(c.ordinal), max(c.ordinal)) as why
      from recent d join ${schema}.document_chunks c on c.document_id = d.document_id
      group by d.document_id, c.generation
      having min(c.ordinal) <> 0 or max(c.ordinal) <> count(*) - 1 or count(distinct c.ordinal) <> count(*)`,
    parameters: (settings) => [settings.recentDocuments],
  },
  {
    invariant: "I3",
    title: "Every chunk that search sees has its vector",
    severity: "error",
    bound: "documents",
    sql: (schema) => `
      with recent as materialized (${recentDocuments(schema)})
      select c.chunk_id::text as id,
        format('chunk %s of document %s has no vector', c.ordinal, d.document_id) as why
      from recent d
      join ${schema}.document_chunks c on c.document_id = d.document_id and c.generation = d.live_generation
      where c.embedding is null`,
    parameters: (settings) => [settings.recentDocuments],
  },
  {
    invariant: "D1",
    title: "A complete document holds nothing of other generations",
    severity: "error",
    bound: "documents",
    sql: (schema) => `
      with recent as materialized (${recentDocuments(schema)})
      select d.document_id::text as id,
        format('holds %s of generation %s, search sees %s', stale.what, stale.generation, d.live_generation) as why
      from recent d
      cross join lateral (
        select distinct 'chunks' as what, c.generation from ${schema}.document_chunks c
        where c.document_id = d.document_id and c.generation <> d.live_generation
        union all
        select distinct 'pages', p.generation from ${schema}.document_pages p
        where p.document_id = d.document_id and p.generation <> d.live_generation
      ) stale
      where d.processing_status = 'complete'`,
    parameters: (settings) => [settings.recentDocuments],
  },
  {
    invariant: "D2",
    title: "The vectors of a finished generation are of one model",
    severity: "error",
    bound: "documents",
    // Before that a job that goes on with another model replaces the vectors batch by batch.
    sql: (schema) => `
      with recent as materialized (${recentDocuments(schema)})
      select d.document_id::text as id, format('generation %s has vectors of %s', c.generation,
        string_agg(distinct c.embed_model, ' and ' order by c.embed_model)) as why
      from recent d join ${schema}.document_chunks c on c.document_id = d.document_id and (
        c.generation = d.live_generation
        or (c.generation = d.generation_count and d.processing_status = any ($2::text[])))
      group by d.document_id, c.generation
      having count(distinct c.embed_model) > 1`,
    parameters: (settings) => [settings.recentDocuments, from("embeddings_stored")],
  },
  {
    invariant: "D4",
    title: "No status without its data",
    severity: "error",
    bound: "documents",
    sql: (schema) => `
      with recent as materialized (${recentDocuments(schema)})
      select d.document_id::text as id,
        format('is %s and generation %s has %s', d.processing_status, d.generation_count, missing.what) as why
      from recent d cross join lateral (
        select 'no pages' as what where d.processing_status = any ($2::text[]) and not exists (
          select from ${schema}.document_pages p
          where p.document_id = d.document_id and p.generation = d.generation_count)
        union all
        select 'no chunks' where d.processing_status = any ($3::text[]) and not exists (
          select from ${schema}.document_chunks c
          where c.document_id = d.document_id and c.generation = d.generation_count)
        union all
        select 'chunks without vector' where d.processing_status = any ($4::text[]) and exists (
          select from ${schema}.document_chunks c
          where c.document_id = d.document_id and c.generation = d.generation_count and c.embedding is null)
      ) missing`,
    parameters: (settings) => [
      settings.recentDocuments,
      from("parsed"),
      from("chunks_stored"),
      from("embeddings_stored"),
    ],
  },
  {
    invariant: "D5",
    title: "A document's jobs and chunks belong to its owner",
    severity: "error",
    bound: "documents",
    sql: (schema) => `
      with recent as materialized (${recentDocuments(schema)})
      select d.document_id::text as id, format('is of user %s, its job %s of %s', d.user_id, j.job_id, j.user_id) as why
      from recent d join ${schema}.upload_jobs j on j.document_id = d.document_id
      where j.user_id <> d.user_id
      union all
      select d.document_id::text, format('is of user %s, %s of its chunks of %s', d.user_id, count(*), c.user_id)
      from recent d join ${schema}.document_chunks c on c.document_id = d.document_id
      where c.user_id <> d.user_id
      group by d.document_id, d.user_id, c.user_id`,
    parameters: (settings) => [settings.recentDocuments],
  },
];

function recentDocuments(schema: string): string {
  return `select document_id, user_id, processing_status, live_generation, generation_count
    from ${schema}.documents order by updated_at desc limit $1`;
}

/** This status and those after it. */
function from(status: Status): readonly Status[] {
  return STATUSES.slice(STATUSES.indexOf(status));
}
