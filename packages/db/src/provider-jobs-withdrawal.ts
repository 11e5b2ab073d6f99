import { z } from "zod";
import type { Queryable } from "./queryable.ts";

/** Tries to reach the provider before a withdrawal is given up: some four hours. */
const MOST_TRIES = 8;

const abandonedRow = z.object({
  submission_id: z.string(),
  /** It may have become a job of the provider's. */
  was_sent: z.boolean(),
});

/**
 * Ends the open submissions whose jobs were cancelled, are done without them, or are gone; answers which. Dead letters
 * keep theirs: who redrives one goes on with what has been paid. The lock makes who revives a job at this moment wait.
 */
export function closeAbandoned(db: Queryable, limit: number): Promise<z.infer<typeof abandonedRow>[]> {
  return db.many(
    abandonedRow,
    `with over as materialized (
       select p.submission_id from ${db.schema}.provider_jobs p cross join lateral (
         select j.job_id from ${db.schema}.upload_jobs j
         where j.job_id = p.job_id and j.state in ('cancelled', 'done')
         for no key update skip locked
       ) j
       where p.ended_at is null
       limit $1
     ), gone as materialized (
       select p.submission_id from ${db.schema}.provider_jobs p
       where p.ended_at is null
         and not exists (select from ${db.schema}.upload_jobs j where j.job_id = p.job_id)
       limit $1
     )
     update ${db.schema}.provider_jobs p
     set ended_at = now(), outcome = 'withdrawn',
         -- a worker that was sending just now stops within seconds; what it sent can be found once it has become a job
         cancel_due_at = case when p.provider_job_id is null
           then greatest(now() + interval '1 minute', p.settles_at) else now() end
     where p.ended_at is null
       and (p.submission_id = any (array(select submission_id from over))
         or p.submission_id = any (array(select submission_id from gone)))
     returning p.submission_id, p.provider_job_id is not null or p.settles_at is not null as was_sent`,
    [limit],
  );
}

const withdrawalRow = z.object({
  submission_id: z.string(),
  provider_job_id: z.string().nullable(),
  created_at: z.date(),
  is_last_try: z.boolean(),
});
export type Withdrawal = z.infer<typeof withdrawalRow>;

/** Submissions that the provider is to be told to stop, each to one caller at a time; untold ones come again, ever later. */
export function takeWithdrawals(db: Queryable, limit: number): Promise<Withdrawal[]> {
  return db.many(
    withdrawalRow,
    `with due as materialized (
       select submission_id from ${db.schema}.provider_jobs
       where cancel_due_at <= now()
       order by cancel_due_at
       limit $1
       for update skip locked
     )
     update ${db.schema}.provider_jobs p
     set cancel_count = p.cancel_count + 1,
         cancel_due_at = case when p.cancel_count + 1 < $2 then now() + interval '1 minute' * 2 ^ p.cancel_count end
     where p.submission_id = any (array(select submission_id from due))
     returning p.submission_id, p.provider_job_id, p.created_at, p.cancel_count >= $2 as is_last_try`,
    [limit, MOST_TRIES],
  );
}

/** The provider was told, or will never be. A submission whose job is gone goes as well. */
export async function finishWithdrawal(
  db: Queryable,
  withdrawal: { submission_id: string; is_told: boolean },
): Promise<void> {
  await db.run(
    `with finished as (
       update ${db.schema}.provider_jobs
       set cancel_due_at = null, cancelled_at = case when $2 then now() end
       where submission_id = $1 and exists (select from ${db.schema}.upload_jobs j where j.job_id = provider_jobs.job_id)
       returning submission_id
     )
     delete from ${db.schema}.provider_jobs
     where submission_id = $1 and not exists (select from finished)`,
    [withdrawal.submission_id, withdrawal.is_told],
  );
}
