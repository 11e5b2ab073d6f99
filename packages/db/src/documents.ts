import { AppError } from "@pipeline/runtime";
import { z } from "zod";
import { STATES, type State, type Status } from "./pipeline.ts";
import { maybeOne, type Queryable } from "./queryable.ts";
import { DOCUMENT_COLUMNS, documentRow, lastErrorRow } from "./rows.ts";

/** A document with what became of its newest job. */
export const documentWithJobRow = documentRow.extend({
  job_id: z.string().nullable(),
  state: z.enum(STATES).nullable(),
  last_error: lastErrorRow.nullable(),
  /** Chunks of the live generation; 0 until one is complete. */
  chunk_count: z.number(),
  /** That made the vectors of the live generation; null until one is complete. */
  embed_model: z.string().nullable(),
});
export type DocumentWithJob = z.infer<typeof documentWithJobRow>;

/** A document of this user; another's is not_found like one that never existed. */
export async function getDocument(
  db: Queryable,
  input: { user_id: string; document_id: string },
): Promise<DocumentWithJob> {
  const document = await maybeOne(
    db,
    documentWithJobRow,
    `${selectDocuments(db)} where d.document_id = $1 and d.user_id = $2`,
    [input.document_id, input.user_id],
    { prepare: true },
  );
  if (!document) throw documentNotFound();
  return document;
}

export function documentNotFound(): AppError {
  return new AppError({ kind: "not_found", code: "document_not_found", message: "There is no such document." });
}

/** Where a page of documents ended. */
export interface DocumentCursor {
  created_at: Date;
  document_id: string;
}

export interface DocumentFilter {
  /** Of the newest job. */
  state?: State | undefined;
  status?: Status | undefined;
  /** What the name holds, in either case. */
  filename?: string | undefined;
}

export interface DocumentList {
  user_id: string;
  filter?: DocumentFilter;
  before: DocumentCursor | undefined;
  /** The last one that is looked at; undefined: all are. */
  upTo?: DocumentCursor | undefined;
  limit: number;
}

/** Newest first, from behind the cursor on. */
export function listDocuments(db: Queryable, input: DocumentList): Promise<DocumentWithJob[]> {
  const { filter = {} } = input;
  return db.many(
    documentWithJobRow,
    // The first bound is the one that an index can use.
    `${selectDocuments(db)}
     where d.user_id = $1 and d.created_at <= coalesce($2::timestamptz, 'infinity')
       and ($2 is null or d.created_at < $2 or d.document_id > $3::uuid)
       and d.created_at >= coalesce($8::timestamptz, '-infinity')
       and ($8 is null or d.created_at > $8 or d.document_id <= $9::uuid)
       and ($5::text is null or j.state = $5) and ($6::text is null or d.processing_status = $6)
       and ($7::text is null or strpos(lower(d.filename), lower($7)) > 0)
     order by d.created_at desc, d.document_id
     limit $4`,
    [
      input.user_id,
      ...placeOf(input.before),
      input.limit,
      filter.state ?? null,
      filter.status ?? null,
      filter.filename ?? null,
      ...placeOf(input.upTo),
    ],
  );
}

/** The document that is `steps` behind the cursor, so that a filter that few pass does not read all of a user's. */
export function findDocumentBehind(
  db: Queryable,
  input: { user_id: string; before: DocumentCursor | undefined; steps: number },
): Promise<DocumentCursor | undefined> {
  return maybeOne(
    db,
    z.object({ created_at: z.date(), document_id: z.string() }),
    `select d.created_at, d.document_id from ${db.schema}.documents d
     where d.user_id = $1 and d.created_at <= coalesce($2::timestamptz, 'infinity')
       and ($2 is null or d.created_at < $2 or d.document_id > $3::uuid)
     order by d.created_at desc, d.document_id
     offset $4 - 1 limit 1`,
    [input.user_id, ...placeOf(input.before), input.steps],
  );
}

function selectDocuments(db: Queryable): string {
  return `select ${DOCUMENT_COLUMNS}, j.job_id, j.state, j.last_error,
      (select count(*)::int from ${db.schema}.document_chunks c
       where c.document_id = d.document_id and c.generation = d.live_generation) as chunk_count,
      (select c.embed_model from ${db.schema}.document_chunks c
       where c.document_id = d.document_id and c.generation = d.live_generation order by c.ordinal limit 1) as embed_model
    from ${db.schema}.documents d
    left join lateral (
      select job_id, state, last_error from ${db.schema}.upload_jobs
      where document_id = d.document_id order by generation desc limit 1
    ) j on true`;
}

function placeOf(cursor: DocumentCursor | undefined): [Date | null, string | null] {
  return cursor ? [cursor.created_at, cursor.document_id] : [null, null];
}
