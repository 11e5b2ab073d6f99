import { z } from "zod";
import { queueParked } from "./provider-jobs.ts";
import { maybeOne, type Queryable } from "./queryable.ts";

const callbackTargetRow = z.object({ submission_id: z.string(), webhook_secret: z.string() });
export type CallbackTarget = z.infer<typeof callbackTargetRow>;

/** What callbacks for a job are verified with: its newest submission, open or not. */
export function findCallbackTarget(
  db: Queryable,
  input: { provider: string; job_id: string },
): Promise<CallbackTarget | undefined> {
  return maybeOne(
    db,
    callbackTargetRow,
    `select submission_id, webhook_secret from ${db.schema}.provider_jobs
     where job_id = $1 and provider = $2
     order by created_at desc limit 1`,
    [input.job_id, input.provider],
  );
}

export interface VerifiedCallback {
  provider: string;
  job_id: string;
  submission_id: string;
  /** The provider's id of the event, the same however often it is delivered. */
  event_key: string;
  /** The job that the event is about. */
  provider_job_id: string | null;
}

export type CallbackVerdict =
  | "accepted"
  /** This event was accepted before. */
  | "replayed"
  /** It is about another job than the one that was submitted, or the submission's answer is not stored yet. */
  | "mismatched"
  /** Nobody waits for it any more. */
  | "late";

/**
 * Takes a callback whose signature was verified. Accepted, it is logged and makes the waiting job claimable; a job in a
 * worker's hands is looked at again as soon as it is parked. Changes nothing else whatever it says. Call it in a
 * transaction.
 */
export async function acceptCallback(tx: Queryable, callback: VerifiedCallback): Promise<CallbackVerdict> {
  // The job first, as everywhere: callbacks for one job then take turns, with each other and with the worker that has it.
  await tx.run(`select 1 from ${tx.schema}.upload_jobs where job_id = $1 for no key update`, [callback.job_id]);
  const refusal = await judge(tx, callback);
  if (refusal !== undefined) return refusal;
  await logCallback(tx, { ...callback, code: null });
  await tx.run(`update ${tx.schema}.provider_jobs set callback_count = callback_count + 1 where submission_id = $1`, [
    callback.submission_id,
  ]);
  await queueParked(tx, callback);
  return "accepted";
}

const standingRow = z.object({ is_known: z.boolean(), is_match: z.boolean(), is_open: z.boolean() });

async function judge(
  tx: Queryable,
  callback: VerifiedCallback,
): Promise<Exclude<CallbackVerdict, "accepted"> | undefined> {
  const standing = await maybeOne(
    tx,
    standingRow,
    `select p.ended_at is null as is_open, coalesce(p.provider_job_id = $2, false) as is_match,
       exists (select from ${tx.schema}.webhook_log w
         where w.provider = $3 and w.event_key = $4 and w.accepted) as is_known
     from ${tx.schema}.provider_jobs p where p.submission_id = $1`,
    [callback.submission_id, callback.provider_job_id, callback.provider, callback.event_key],
  );
  if (standing?.is_known === true) return "replayed";
  if (standing?.is_match === false) return "mismatched";
  return standing?.is_open === true ? undefined : "late";
}

export interface LoggedCallback {
  provider: string;
  event_key: string;
  job_id: string;
  /** Why it was refused; null: it was accepted. */
  code: string | null;
}

/** Anybody can send what is refused: of each kind so many are noted in a minute. */
const REFUSALS_A_MINUTE = 10;

/**
 * Notes a callback; answers false where enough of the kind were refused, and noted, within a minute. An accepted event a second
 * time is `already_exists`.
 */
export async function logCallback(db: Queryable, callback: LoggedCallback): Promise<boolean> {
  const noted = await db.run(
    `insert into ${db.schema}.webhook_log (provider, event_key, job_id, accepted, code)
     select $1::text, $2::text, $3::uuid, $4::text is null, $4::text
     where $4::text is null or (
       select count(*) from (
         select from ${db.schema}.webhook_log w
         where not w.accepted and w.code = $4::text and w.received_at > now() - interval '1 minute'
         limit $5
       ) recent) < $5`,
    [callback.provider, callback.event_key, callback.job_id, callback.code, REFUSALS_A_MINUTE],
  );
  return noted === 1;
}

/** Nobody asks after callbacks of last month. */
const KEPT_DAYS = 30;

/** Deletes the oldest notes, `limit` in one statement until all are gone; answers how many went. */
export async function deleteOldCallbacks(db: Queryable, limit: number): Promise<number> {
  let deleted = 0;
  for (;;) {
    const count = await deleteSomeCallbacks(db, limit);
    deleted += count;
    if (count < limit) return deleted;
  }
}

function deleteSomeCallbacks(db: Queryable, limit: number): Promise<number> {
  return db.run(
    `delete from ${db.schema}.webhook_log w
     where w.webhook_id = any (array(
       select oldest.webhook_id
       from (select webhook_id, received_at from ${db.schema}.webhook_log order by webhook_id limit $1) oldest
       where oldest.received_at < now() - interval '${KEPT_DAYS} days'))`,
    [limit],
  );
}
