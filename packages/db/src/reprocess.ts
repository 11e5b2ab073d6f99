import { AppError, chunkId } from "@pipeline/runtime";
import { z } from "zod";
import type { Database } from "./database.ts";
import { documentNotFound } from "./documents.ts";
import { isTerminal, STAGES, STATES, STATUSES, type Stage, type Status } from "./pipeline.ts";
import { dropGenerations } from "./generations.ts";
import { lockOwnDocument } from "./own-document.ts";
import { maybeOne, one, type Queryable } from "./queryable.ts";
import { NEEDS_UPLOAD, uploadAgain } from "./redrive.ts";
import { JOB_COLUMNS, jobRow, type JobRow } from "./rows.ts";
import { countReprocessing, createRecounter, withFreshCount, type UploadAllowance } from "./upload-counts.ts";
import { restoreFile } from "./verified-file.ts";

/** Where reprocessing may begin: a stage, or the status that it starts from. */
export type ReprocessFrom = Stage | Exclude<Status, "complete">;

export const REPROCESS_FROM: readonly ReprocessFrom[] = [
  ...STAGES.map((definition) => definition.stage),
  ...STAGES.map((definition) => definition.from),
];

export interface ReprocessRequest {
  document_id: string;
  /** The owner, whose documents alone are there then. Operators leave it out. */
  user_id?: string;
  from: ReprocessFrom;
  /** Becomes the new job's. */
  correlation_id: string;
}

/**
 * A new job that builds a new generation from an earlier status on, with what comes before copied: pages, from
 * `chunks_stored` on the passages without their vectors, and for `publish` these too. What search sees stays as it is
 * until the new generation is published. Call it in a transaction.
 *
 * `validate` begins with `parse`, because pages are kept only in the form that it gives them. Where the newest upload never
 * came, its key gives way to that of the file which was verified last. Throws `document_not_found` and the conflicts
 * `job_unfinished` (a job of the document is not at its end), `upload_again` (there is no verified file, and it is needed)
 * and `reprocess_source_missing` (no generation got as far as that).
 */
export async function reprocessDocument(tx: Queryable, request: ReprocessRequest): Promise<JobRow> {
  await lockOwnDocument(tx, request);
  const document = await getReprocessable(tx, request);
  const status = startOf(request.from);
  const hasFile = !document.lacks_file || (await restoreFile(tx, document));
  if (!hasFile && !needsPages(status)) throw uploadAgain();
  const source = needsPages(status) ? sourceOf(document, status) : null;
  await dropGenerations(tx, { document_id: document.document_id, source });
  const generation = await beginGeneration(tx, { ...document, status });
  const job = await insertJob(tx, { ...document, ...request, status, generation, source });
  if (source !== null) await copyRows(tx, { ...document, status, source, generation });
  return job;
}

/**
 * `reprocessDocument` for a user, as one upload more of what the user may have: throws rate_limited
 * `daily_upload_limit` and `uploads_in_flight_limit` besides.
 */
export function reprocessDocumentWithin(
  database: Database,
  request: ReprocessRequest & { user_id: string },
  allowance: UploadAllowance,
): Promise<JobRow> {
  const { user_id } = request;
  return withFreshCount(createRecounter(database), { user_id, maxInFlight: allowance.maxInFlight }, () =>
    database.transaction(async (tx) => {
      const job = await reprocessDocument(tx, request);
      await countReprocessing(tx, user_id, allowance);
      return job;
    }),
  );
}

function startOf(from: ReprocessFrom): Status {
  const definition = STAGES.find(({ stage, from: status }) => stage === from || status === from);
  if (!definition) throw sourceMissing();
  return definition.from === "parsed" ? "parsing" : definition.from;
}

function hasReached(status: Status, goal: Status): boolean {
  return STATUSES.indexOf(status) >= STATUSES.indexOf(goal);
}

function needsPages(status: Status): boolean {
  return hasReached(status, "parse_validated");
}

const reprocessable = z.object({
  document_id: z.string(),
  user_id: z.string(),
  live_generation: z.number().nullable(),
  raw_path: z.string(),
  /** What raw_path names never came, or was removed because it was not the promised file. */
  lacks_file: z.boolean(),
  job_id: z.string().nullable(),
  state: z.enum(STATES).nullable(),
  status: z.enum(STATUSES).nullable(),
  generation: z.number().nullable(),
});
type Reprocessable = z.infer<typeof reprocessable>;

/** The document with its newest job, if a job of it verified a file and nobody works on it. */
async function getReprocessable(tx: Queryable, request: ReprocessRequest): Promise<Reprocessable> {
  const document = await maybeOne(
    tx,
    reprocessable,
    `select d.document_id, d.user_id, d.live_generation, d.raw_path, j.job_id, j.state, j.status, j.generation,
       ${NEEDS_UPLOAD} or coalesce(j.status = 'uploaded'
         and d.raw_path = d.document_id::text || '/' || j.job_id::text, false) as lacks_file
     from ${tx.schema}.documents d
     left join lateral (
       select job_id, state, status, generation, last_error from ${tx.schema}.upload_jobs
       where document_id = d.document_id order by generation desc limit 1
     ) j on true
     where d.document_id = $1`,
    [request.document_id],
  );
  if (!document) throw documentNotFound();
  if (document.state !== null && !isTerminal(document.state)) {
    const message = "A job of this document is under way. Wait for its end, or cancel it.";
    throw new AppError({ kind: "conflict", code: "job_unfinished", message, details: { job_id: document.job_id } });
  }
  const isVerified = document.status !== null && document.status !== "uploaded";
  if (!isVerified && document.live_generation === null) throw uploadAgain();
  return document;
}

/** The newest generation, if it has got that far, else the live one. */
function sourceOf(document: Reprocessable, goal: Status): number {
  const { status, generation, live_generation } = document;
  const found = status !== null && hasReached(status, goal) ? generation : live_generation;
  if (found === null) throw sourceMissing();
  return found;
}

function sourceMissing(): AppError {
  return new AppError({
    kind: "conflict",
    code: "reprocess_source_missing",
    message: "The document never got as far as that. Begin at an earlier stage.",
  });
}

async function beginGeneration(tx: Queryable, input: { document_id: string; status: Status }): Promise<number> {
  const begun = await one(
    tx,
    z.object({ generation_count: z.number() }),
    `update ${tx.schema}.documents
     set generation_count = generation_count + 1, processing_status = $2, updated_at = now()
     where document_id = $1
     returning generation_count`,
    [input.document_id, input.status],
  );
  return begun.generation_count;
}

interface NewJob {
  document_id: string;
  user_id: string;
  correlation_id: string;
  status: Status;
  generation: number;
  source: number | null;
  from: ReprocessFrom;
}

function insertJob(tx: Queryable, job: NewJob): Promise<JobRow> {
  return one(
    tx,
    jobRow,
    `with born as (
       insert into ${tx.schema}.upload_jobs as j
         (document_id, user_id, correlation_id, generation, state, status, turn)
       values ($1, $2, $3, $4, 'queued', $5, ${tx.schema}.next_turns($2, 1))
       returning ${JOB_COLUMNS}, j.fence
     ), told as (
       insert into ${tx.schema}.events (job_id, type, status, state, fence, detail)
       select job_id, 'created', status, state, fence, $6::jsonb from born
     )
     select ${JOB_COLUMNS} from born j`,
    [
      job.document_id,
      job.user_id,
      job.correlation_id,
      job.generation,
      job.status,
      JSON.stringify({ reprocess_from: job.from, source_generation: job.source }),
    ],
  );
}

interface Copy {
  document_id: string;
  status: Status;
  source: number;
  generation: number;
}

async function copyRows(tx: Queryable, copy: Copy): Promise<void> {
  const pageCount = await tx.run(
    `insert into ${tx.schema}.document_pages (document_id, generation, page_number, text, title)
     select document_id, $3, page_number, text, title from ${tx.schema}.document_pages
     where document_id = $1 and generation = $2`,
    [copy.document_id, copy.source, copy.generation],
  );
  if (pageCount === 0) throw sourceMissing();
  if (hasReached(copy.status, "chunks_stored") && (await copyChunks(tx, copy)) === 0) throw sourceMissing();
}

const chunkKey = z.object({ ordinal: z.number(), chunker_name: z.string(), chunker_version: z.string() });

/** A passage's id is made of its generation, so copies get ids of their own. */
async function copyChunks(tx: Queryable, copy: Copy): Promise<number> {
  const { document_id, source, generation } = copy;
  const keys = await tx.many(
    chunkKey,
    `select ordinal, chunker_name, chunker_version from ${tx.schema}.document_chunks
     where document_id = $1 and generation = $2`,
    [document_id, source],
  );
  return tx.run(
    `insert into ${tx.schema}.document_chunks (chunk_id, document_id, user_id, generation, ordinal, text, token_count,
       page_start, page_end, char_start, char_end, section_path, chunker_name, chunker_version, embedding, embed_model,
       embed_version, embedded_at)
     select copies.chunk_id, c.document_id, c.user_id, $3, c.ordinal, c.text, c.token_count, c.page_start, c.page_end,
       c.char_start, c.char_end, c.section_path, c.chunker_name, c.chunker_version, case when $6 then c.embedding end,
       case when $6 then c.embed_model end, case when $6 then c.embed_version end, case when $6 then c.embedded_at end
     from unnest($4::uuid[], $5::int[]) as copies (chunk_id, ordinal)
     join ${tx.schema}.document_chunks c
       on c.document_id = $1 and c.generation = $2 and c.ordinal = copies.ordinal`,
    [
      document_id,
      source,
      generation,
      keys.map((key) => chunkId({ ...key, document_id, generation })),
      keys.map((key) => key.ordinal),
      hasReached(copy.status, "embeddings_stored"),
    ],
  );
}
