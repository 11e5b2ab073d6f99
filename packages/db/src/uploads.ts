import { AppError } from "@pipeline/runtime";
import { z } from "zod";
import { dropGenerations } from "./generations.ts";
import { makeUpload } from "./make-uploads.ts";
import { isTerminal } from "./pipeline.ts";
import { maybeOne, one, type Queryable } from "./queryable.ts";
import { DOCUMENT_COLUMNS, documentRow, JOB_COLUMNS, jobRow, type DocumentRow, type JobRow } from "./rows.ts";
import { removeLater } from "./removals.ts";
import { storableJson, storableText } from "./storable-text.ts";
import { countUpload, UNLIMITED, type UploadAllowance } from "./upload-counts.ts";
import { hasVerifiedFile } from "./verified-file.ts";

/** What the client promises to put into storage. */
export interface UploadPromise {
  document_id: string;
  /** The id that a new job gets, if one is made. */
  job_id: string;
  user_id: string;
  filename: string;
  mime: string;
  bytes_len: number;
  file_sha256: string;
  /** Storage key that a new job's upload goes to. */
  raw_path: string;
  metadata: Record<string, unknown>;
  correlation_id: string;
  uploadSeconds: number;
  /** First look into storage if nobody says that the file has arrived. */
  firstProbeMs: number;
}

/** What its maker needs to know of a job that an upload made or found. */
export type UploadJob = Pick<
  JobRow,
  "job_id" | "document_id" | "user_id" | "correlation_id" | "status" | "state" | "upload_expires_at"
>;

export interface RegisteredUpload {
  document: Pick<
    DocumentRow,
    "document_id" | "user_id" | "filename" | "mime" | "bytes_len" | "file_sha256" | "raw_path"
  >;
  job: UploadJob;
  /** True: an earlier job for this very file is under way or done, and nothing was made. */
  duplicate: boolean;
  /** Storage key of the failed attempt that this one replaces; nothing refers to it any more. */
  replaced_path: string | null;
}

/**
 * The document and its job, made together or found, inside a transaction and without limits; `createUploadRegistrar` is for
 * users.
 */
export async function registerUpload(tx: Queryable, upload: UploadPromise): Promise<RegisteredUpload> {
  const result = await makeUpload(tx, upload, { allowance: UNLIMITED, isPatient: true });
  return result.outcome === "made" ? result.made : registerAgain(tx, upload, UNLIMITED);
}

/**
 * Where there is a document of the file. It is locked first, so that the same upload many times at once makes one job. After
 * a dead letter or a cancellation a new job is made.
 */
export async function registerAgain(
  tx: Queryable,
  upload: UploadPromise,
  allowance: UploadAllowance,
): Promise<RegisteredUpload> {
  await lockDocument(tx, upload.document_id);
  const document = await findDocument(tx, upload);
  // Deleted between the two statements.
  if (!document) throw new AppError({ kind: "transient", code: "database_conflict", message: "Ask again." });
  const latest = await findLatestJob(tx, document.document_id);
  if (latest && isEnough(latest)) return { document, job: latest, duplicate: true, replaced_path: null };
  await countUpload(tx, upload.user_id, allowance);
  await dropGenerations(tx, { document_id: document.document_id, source: null });
  const replaced_path = replacedPath(document, upload);
  if (replaced_path !== null) await removeLater(tx, { object_key: replaced_path, document_id: document.document_id });
  const promised = await startGeneration(tx, document, { upload, latest });
  const job = await insertJob(tx, upload, promised);
  return { document: promised.document, job, duplicate: false, replaced_path };
}

/** The document of the file with its job where that is under way or done, as it is for most files that are promised again. */
export async function findDuplicate(db: Queryable, upload: UploadPromise): Promise<RegisteredUpload | undefined> {
  const document = await findDocument(db, upload);
  const job = document && (await findLatestJob(db, document.document_id));
  return job && isEnough(job) ? { document, job, duplicate: true, replaced_path: null } : undefined;
}

function isEnough({ state }: JobRow): boolean {
  return state === "done" || !isTerminal(state);
}

/** A document that search sees keeps its file until the new one is complete. */
function replacedPath(before: DocumentRow, upload: UploadPromise): string | null {
  return before.raw_path === upload.raw_path || before.live_generation !== null ? null : before.raw_path;
}

export interface UploadRenewal {
  uploadSeconds: number;
  correlation_id: string;
  /** Left out where the one that counts is to stay, as for a request that is not done again. */
  promise?: Pick<UploadPromise, "filename" | "mime" | "bytes_len" | "metadata">;
}

/**
 * Prolongs the time to upload of a job whose bytes are still missing; while it waits for them, the newest promise
 * counts. Call it in a transaction. Undefined: the job is past that point.
 */
export async function renewUpload(
  tx: Queryable,
  job: { job_id: string },
  { uploadSeconds, correlation_id, promise }: UploadRenewal,
): Promise<JobRow | undefined> {
  const renewed = await maybeOne(
    tx,
    jobRow,
    `with renewed as (
       update ${tx.schema}.upload_jobs j
       set upload_expires_at = now() + $2 * interval '1 second',
           -- a queued job's tells since when it waits for a worker
           updated_at = case j.state when 'queued' then j.updated_at else now() end
       where j.job_id = $1 and j.status = 'uploaded' and j.state in ('waiting', 'queued', 'retryable', 'working')
       returning ${JOB_COLUMNS}, j.fence
     ), told as (
       insert into ${tx.schema}.events (job_id, type, status, state, fence, correlation_id)
       select job_id, 'upload_renewed', status, state, fence, $3 from renewed
     )
     select ${JOB_COLUMNS} from renewed j`,
    [job.job_id, uploadSeconds, correlation_id],
  );
  if (promise && renewed?.state === "waiting") {
    const { filename, mime, bytes_len, metadata } = promise;
    await tx.run(
      `update ${tx.schema}.documents
       set filename = $2, mime = $3, bytes_len = $4, metadata = $5::jsonb, updated_at = now() where document_id = $1`,
      [renewed.document_id, storableText(filename), mime, bytes_len, storableJson(metadata)],
    );
  }
  return renewed;
}

/**
 * The client says that the file is there: the waiting job becomes claimable at once. Answers the document's newest job.
 * What it changes is one statement, so it needs no transaction.
 */
export async function confirmUpload(
  db: Queryable,
  input: { user_id: string; document_id: string; correlation_id: string },
): Promise<JobRow | undefined> {
  await db.run(
    // The job is locked before its user's turns, in the same order as everywhere.
    `with waiting as materialized (
       select job_id from ${db.schema}.upload_jobs
       where document_id = $1 and user_id = $2 and state = 'waiting' and waiting_for = 'upload'
       for no key update
     ), confirmed as (
       update ${db.schema}.upload_jobs j
       set state = 'queued', turn = ${db.schema}.next_turns(j.user_id, 1), due_at = null, waiting_for = null,
           updated_at = now()
       where j.job_id = any (array(select job_id from waiting))
       returning j.job_id, j.status, j.state, j.fence
     )
     insert into ${db.schema}.events (job_id, type, status, state, fence, correlation_id)
     select job_id, 'upload_confirmed', status, state, fence, $3 from confirmed`,
    [input.document_id, input.user_id, input.correlation_id],
    { prepare: true },
  );
  const latest = await findLatestJob(db, input.document_id);
  return latest?.user_id === input.user_id ? latest : undefined;
}

/**
 * Makes others who begin or revive a job of this document wait until the end of the transaction. Not a lock on its row:
 * checkpoints lock the job and then the document, and the other way round would end in deadlocks.
 */
export async function lockDocument(tx: Queryable, documentId: string): Promise<void> {
  await tx.run("select pg_advisory_xact_lock(hashtextextended($1, 0))", [documentLockKey(tx, documentId)]);
}

/** What `lockDocument` locks, for statements that try it for many documents; ends with the id. */
export function documentLockKey(tx: Queryable, documentId: string): string {
  return `${tx.schema} document ${documentId.toLowerCase()}`;
}

function findDocument(tx: Queryable, file: { user_id: string; file_sha256: string }): Promise<DocumentRow | undefined> {
  return maybeOne(
    tx,
    documentRow,
    `select ${DOCUMENT_COLUMNS} from ${tx.schema}.documents d where d.user_id = $1 and d.file_sha256 = $2`,
    [file.user_id, file.file_sha256],
  );
}

function findLatestJob(tx: Queryable, documentId: string): Promise<JobRow | undefined> {
  return maybeOne(
    tx,
    jobRow,
    `select ${JOB_COLUMNS} from ${tx.schema}.upload_jobs j where j.document_id = $1 order by j.generation desc limit 1`,
    [documentId],
    { prepare: true },
  );
}

interface StartedGeneration {
  document: DocumentRow;
  generation: number;
}

/** The document takes on the new promise, and a new generation is begun. */
async function startGeneration(
  tx: Queryable,
  before: DocumentRow,
  { upload, latest }: { upload: UploadPromise; latest: JobRow | undefined },
): Promise<StartedGeneration> {
  const { generation_count, ...document } = await one(
    tx,
    documentRow.extend({ generation_count: z.number() }),
    `update ${tx.schema}.documents d
     set filename = $2, mime = $3, bytes_len = $4, raw_path = $5, metadata = $6::jsonb, processing_status = 'uploaded',
         generation_count = d.generation_count + 1, updated_at = now(),
         old_paths = case when d.live_generation is null or d.raw_path = $5 then d.old_paths
           else array_append(d.old_paths, d.raw_path) end,
         verified_file = case when d.live_generation is null then null when not $7 then d.verified_file
           else jsonb_build_object('raw_path', d.raw_path, 'mime', d.mime, 'bytes_len', d.bytes_len) end
     where d.document_id = $1
     returning ${DOCUMENT_COLUMNS}, d.generation_count`,
    [
      before.document_id,
      storableText(upload.filename),
      upload.mime,
      upload.bytes_len,
      upload.raw_path,
      storableJson(upload.metadata),
      hasVerifiedFile(before, latest),
    ],
  );
  return { document, generation: generation_count };
}

function insertJob(tx: Queryable, upload: UploadPromise, started: StartedGeneration): Promise<JobRow> {
  return one(
    tx,
    jobRow,
    `with born as (
       insert into ${tx.schema}.upload_jobs as j
         (job_id, document_id, user_id, correlation_id, generation, state, waiting_for, due_at, upload_expires_at)
       values ($1, $2, $3, $4, $5, 'waiting', 'upload',
         now() + $6::float8 * interval '1 ms', now() + $7 * interval '1 second')
       returning ${JOB_COLUMNS}, j.fence
     ), told as (
       insert into ${tx.schema}.events (job_id, type, status, state, fence)
       select job_id, 'created', status, state, fence from born
     )
     select ${JOB_COLUMNS} from born j`,
    [
      upload.job_id,
      started.document.document_id,
      upload.user_id,
      upload.correlation_id,
      started.generation,
      upload.firstProbeMs,
      upload.uploadSeconds,
    ],
  );
}
