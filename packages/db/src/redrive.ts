import { AppError } from "@pipeline/runtime";
import { z } from "zod";
import { jobNotFound, type JobRequest } from "./cancel.ts";
import { isTerminal, STATES, type Stage, type State } from "./pipeline.ts";
import type { Database } from "./database.ts";
import { maybeOne, type Queryable } from "./queryable.ts";
import { JOB_COLUMNS, jobRow, type JobRow } from "./rows.ts";
import { createRecounter, requireRoom, withFreshCount, type UploadAllowance } from "./upload-counts.ts";
import { documentLockKey, lockDocument } from "./uploads.ts";

const RETRYABLE_BY_HAND: readonly State[] = ["deadletter", "cancelled", "retryable"];

/**
 * Queues a failed, cancelled or backing-off job again, at the status it has reached and with all its attempts. Its last
 * error moves into the event. Call it in a transaction. Throws `job_not_found` and the conflicts `job_not_retryable` (it
 * is under way or done), `job_not_newest` (a later job has the document) and `upload_again` (the file never came, or was
 * removed because it was not the promised one: only a new upload helps).
 */
export async function retryJob(tx: Queryable, request: JobRequest): Promise<JobRow> {
  const { from_state: _, ...job } = await retry(tx, request);
  return job;
}

/**
 * `retryJob` for a user, within what the user may have under way: throws rate_limited `uploads_in_flight_limit` besides. A
 * job that is backing off is under way already.
 */
export function retryJobWithin(
  database: Database,
  request: JobRequest & { user_id: string },
  allowance: UploadAllowance,
): Promise<JobRow> {
  const { user_id } = request;
  return withFreshCount(createRecounter(database), { user_id, maxInFlight: allowance.maxInFlight }, () =>
    database.transaction(async (tx) => {
      const { from_state, ...job } = await retry(tx, request);
      if (isTerminal(from_state)) await requireRoom(tx, user_id, allowance);
      return job;
    }),
  );
}

async function retry(tx: Queryable, request: JobRequest): Promise<RevivedJob> {
  const { document_id } = await getFacts(tx, request);
  await lockDocument(tx, document_id);
  const ids = [request.job_id];
  const [revived] = await revive(tx, { ids, states: RETRYABLE_BY_HAND, correlation_id: request.correlation_id });
  if (revived) return revived;
  throw refusalOf(await getFacts(tx, request));
}

export interface RedriveFilter {
  /** Of the error that ended them. */
  code?: string;
  /** That they failed in. */
  stage?: Stage;
  /** Those that ended before this moment. */
  before?: Date;
  user_id?: string;
  /** Most jobs in one call. */
  limit: number;
}

/**
 * `retryJob` for many dead letters, oldest job first; answers those that were queued. Left out: what cannot be retried,
 * and what somebody else is acting on right now. Call it in a transaction.
 */
export async function redriveJobs(
  tx: Queryable,
  request: { filter: RedriveFilter; correlation_id: string },
): Promise<JobRow[]> {
  const ids = await lockDeadLetters(tx, request.filter);
  if (ids.length === 0) return [];
  const revived = await revive(tx, { ids, states: ["deadletter"], correlation_id: request.correlation_id });
  return revived.map((job) => jobRow.parse(job));
}

/** The file never came, or did not pass verification and was removed: what the worker would look for is not there. */
export const NEEDS_UPLOAD = `coalesce(j.last_error ->> 'code' in ('upload_expired', 'length_mismatch', 'hash_mismatch', 'content_mismatch')
  or j.last_error ->> 'stage' = 'verify' and j.last_error ->> 'retryable' = 'false'
    and j.last_error ->> 'code' not in ('object_not_found', 'poison_job'), false)`;

function isNewest(db: Queryable): string {
  return `not exists (select from ${db.schema}.upload_jobs n
    where n.document_id = j.document_id and n.generation > j.generation)`;
}

/**
 * Locks jobs and documents without waiting for either, so that the usual order, document before job, need not be kept.
 * In a statement of its own: the next one sees what was committed before the locks were there.
 */
async function lockDeadLetters(tx: Queryable, filter: RedriveFilter): Promise<string[]> {
  const rows = await tx.many(
    z.object({ job_id: z.string() }),
    `with dead as materialized (
       select j.job_id, j.document_id from ${tx.schema}.upload_jobs j
       where j.is_dead_letter and not ${NEEDS_UPLOAD} and ${isNewest(tx)}
         and ($1::text is null or j.last_error ->> 'code' = $1)
         and ($2::text is null or j.last_error ->> 'stage' = $2)
         and ($3::timestamptz is null or j.finished_at < $3)
         and ($4::uuid is null or j.user_id = $4)
       order by j.seq
       limit $5
       for no key update of j skip locked
     )
     select job_id from dead where pg_try_advisory_xact_lock(hashtextextended($6 || document_id::text, 0))`,
    [
      filter.code ?? null,
      filter.stage ?? null,
      filter.before ?? null,
      filter.user_id ?? null,
      filter.limit,
      documentLockKey(tx, ""),
    ],
  );
  return rows.map((row) => row.job_id);
}

interface Revival {
  ids: readonly string[];
  states: readonly State[];
  correlation_id: string;
}

const revivedRow = jobRow.extend({ from_state: z.enum(STATES) });
type RevivedJob = z.infer<typeof revivedRow>;

/** Each user's jobs take the user's next turns in the order in which they were made. The documents are locked. */
function revive(tx: Queryable, revival: Revival): Promise<RevivedJob[]> {
  return tx.many(
    revivedRow,
    `with picked as materialized (
       select j.job_id, j.user_id, j.seq, j.state, j.last_error, j.retry_count from ${tx.schema}.upload_jobs j
       where j.job_id = any ($1::uuid[]) and j.state = any ($2::text[]) and not ${NEEDS_UPLOAD}
         and ${isNewest(tx)}
       order by j.job_id
       for no key update of j
     ), first_turns as materialized (
       -- after the jobs and by user, so that two of these at once lock everything in the same order
       select user_id, ${tx.schema}.next_turns(user_id, count(*)) as turn from picked group by user_id order by user_id
     ), placed as (
       select jsonb_object_agg(job_id, turn + nth) as turns from (
         select p.job_id, f.turn, row_number() over (partition by p.user_id order by p.seq) - 1 as nth
         from picked p join first_turns f on f.user_id = p.user_id) ranked
     ), revived as (
       update ${tx.schema}.upload_jobs j
       set state = 'queued', turn = ((select turns from placed) ->> j.job_id::text)::bigint, retry_count = 0,
           crash_count = 0, last_error = null, due_at = null, finished_at = null, updated_at = now()
       where j.job_id = any (array(select job_id from picked))
       returning ${JOB_COLUMNS}, j.fence, j.seq
     ), told as (
       insert into ${tx.schema}.events (job_id, type, status, state, fence, correlation_id, detail)
       select r.job_id, 'redriven', r.status, r.state, r.fence, nullif($3, r.correlation_id),
         jsonb_build_object('from_state', p.state, 'last_error', p.last_error, 'retry_count', p.retry_count)
       from revived r join picked p on p.job_id = r.job_id
     )
     select ${JOB_COLUMNS}, p.state as from_state from revived j join picked p on p.job_id = j.job_id order by j.seq`,
    [revival.ids, revival.states, revival.correlation_id],
  );
}

const factsRow = z.object({
  document_id: z.string(),
  state: z.enum(STATES),
  is_newest: z.boolean(),
  needs_upload: z.boolean(),
});

async function getFacts(tx: Queryable, request: JobRequest): Promise<z.infer<typeof factsRow>> {
  const job = await maybeOne(
    tx,
    factsRow,
    `select j.document_id, j.state, ${isNewest(tx)} as is_newest, ${NEEDS_UPLOAD} as needs_upload
     from ${tx.schema}.upload_jobs j where j.job_id = $1 and ($2::uuid is null or j.user_id = $2)`,
    [request.job_id, request.user_id ?? null],
  );
  if (!job) throw jobNotFound();
  return job;
}

function refusalOf({ state, is_newest, needs_upload }: z.infer<typeof factsRow>): AppError {
  if (!RETRYABLE_BY_HAND.includes(state)) {
    const message = `A job that is ${state} cannot be retried.`;
    return new AppError({ kind: "conflict", code: "job_not_retryable", message, details: { state } });
  }
  if (!is_newest) {
    const message = "The document has a later job; only the newest can be retried.";
    return new AppError({ kind: "conflict", code: "job_not_newest", message });
  }
  if (needs_upload) return uploadAgain();
  return new AppError({ kind: "conflict", code: "job_not_retryable", message: "The job just moved; ask again." });
}

export function uploadAgain(): AppError {
  return new AppError({
    kind: "conflict",
    code: "upload_again",
    message: "The document's file is not in storage, or was not the promised one. Upload it again.",
  });
}
