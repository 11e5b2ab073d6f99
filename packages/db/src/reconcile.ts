import { z } from "zod";
import { STATES, STATUSES } from "./pipeline.ts";
import { maybeOne, type Queryable } from "./queryable.ts";
import { JOB_COLUMNS, jobRow, type JobRow } from "./rows.ts";
import { lockDocument } from "./uploads.ts";

/**
 * Which of these storage keys some row still needs. A document's own key is; so is every key below a document that
 * search sees while its newest job is not done, because the file of what is seen may have another key than the one that
 * is to replace it. Keys begin with the document's id.
 */
export async function listNeededKeys(db: Queryable, keys: readonly string[]): Promise<Set<string>> {
  const needed = new Set(await listKeysByDocument(db, keys));
  const others = keys.filter((key) => !needed.has(key));
  if (others.length > 0) for (const key of await listKeysByPath(db, others)) needed.add(key);
  return needed;
}

const keyRow = z.object({ key: z.string() });

async function listKeysByDocument(db: Queryable, keys: readonly string[]): Promise<string[]> {
  const rows = await db.many(
    keyRow,
    `select k.key from unnest($1::text[]) as k (key)
     join ${db.schema}.documents d on d.document_id = split_part(k.key, '/', 1)::uuid
     where d.raw_path = k.key or (d.live_generation is not null and exists (
       select from ${db.schema}.upload_jobs j
       where j.document_id = d.document_id and j.generation = d.generation_count and j.state <> 'done'))`,
    [keys],
  );
  return rows.map((row) => row.key);
}

/** Rows made by hand may name any key. No index: what gets here is what no document's id led to. */
async function listKeysByPath(db: Queryable, keys: readonly string[]): Promise<string[]> {
  const rows = await db.many(
    keyRow,
    `select distinct d.raw_path as key from ${db.schema}.documents d where d.raw_path = any ($1::text[])`,
    [keys],
  );
  return rows.map((row) => row.key);
}

const verifiedFile = z.object({
  document_id: z.string(),
  raw_path: z.string(),
  job_id: z.string(),
  status: z.enum(STATUSES),
  state: z.enum(STATES),
});

/** A document whose file must be in storage: a job has verified it, and none has failed since. */
export type VerifiedFile = z.infer<typeof verifiedFile>;

/** In the order of their documents' ids, behind `after`. */
export function listVerifiedFiles(
  db: Queryable,
  page: { after: string | undefined; limit: number },
): Promise<VerifiedFile[]> {
  return db.many(
    verifiedFile,
    `select d.document_id, d.raw_path, j.job_id, j.status, j.state
     from ${db.schema}.documents d
     join ${db.schema}.upload_jobs j on j.document_id = d.document_id and j.generation = d.generation_count
     where ($1::uuid is null or d.document_id > $1) and ${IS_VERIFIED}
     order by d.document_id
     limit $2`,
    [page.after ?? null, page.limit],
  );
}

/** Of those that failed or were cancelled the history says how; the next upload brings their file anew. */
const IS_VERIFIED = "j.status <> 'uploaded' and j.state not in ('deadletter', 'cancelled')";

/** The same file as it stands now; undefined when it is not that document's any more, or need not be there. */
export function findVerifiedFile(
  db: Queryable,
  file: { document_id: string; raw_path: string },
): Promise<VerifiedFile | undefined> {
  return maybeOne(
    db,
    verifiedFile,
    `select d.document_id, d.raw_path, j.job_id, j.status, j.state
     from ${db.schema}.documents d
     join ${db.schema}.upload_jobs j on j.document_id = d.document_id and j.generation = d.generation_count
     where d.document_id = $1 and d.raw_path = $2 and ${IS_VERIFIED}`,
    [file.document_id, file.raw_path],
  );
}

/** What a document's last error says when its file is gone. */
const LOST_FILE = {
  stage: "parse",
  code: "object_not_found",
  message: "The file is not in object storage any more. Upload it again.",
  retryable: false,
} as const;

/**
 * Records that a finished document has lost its file: a job that would read it anew, born as a dead letter. What search
 * sees stays; the owner's next upload of the file is a new job instead of a duplicate without a link, and should the file
 * come back, the dead letter can be redriven. Call it in a transaction. Undefined: the document is not finished, or its
 * file is another one by now.
 */
export async function recordLostFile(
  tx: Queryable,
  lost: { document_id: string; raw_path: string; correlation_id: string },
): Promise<JobRow | undefined> {
  await lockDocument(tx, lost.document_id);
  const file = await findVerifiedFile(tx, lost);
  if (file?.state !== "done") return undefined;
  return maybeOne(
    tx,
    jobRow,
    `with begun as (
       update ${tx.schema}.documents d
       set generation_count = d.generation_count + 1, processing_status = 'parsing', updated_at = now()
       where d.document_id = $1
       returning d.document_id, d.user_id, d.generation_count
     ), born as (
       insert into ${tx.schema}.upload_jobs as j
         (document_id, user_id, correlation_id, generation, state, status, turn, finished_at, last_error)
       select document_id, user_id, $2, generation_count, 'deadletter', 'parsing', ${tx.schema}.next_turns(user_id, 1),
         now(), $3::jsonb || jsonb_build_object('at', now())
       from begun
       returning ${JOB_COLUMNS}, j.fence
     ), told as (
       insert into ${tx.schema}.events (job_id, type, status, state, fence, code, detail)
       select b.job_id, e.type, b.status, e.state, b.fence, e.code, case when e.code is not null then b.last_error end
       from born b cross join (values
         (1, 'created', 'queued', null::text), (2, 'deadlettered', 'deadletter', $4)) as e (place, type, state, code)
       order by e.place
     )
     select ${JOB_COLUMNS} from born j`,
    [lost.document_id, lost.correlation_id, JSON.stringify(LOST_FILE), LOST_FILE.code],
  );
}
