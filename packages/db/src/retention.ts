import { z } from "zod";
import { one, type Queryable } from "./queryable.ts";

export interface RetentionBatch {
  /** Age since a job's end, or a session's, in days. */
  olderThanDays: number;
  /** Most jobs that are looked at, of whatever age, and most sessions that are deleted. */
  limit: number;
  /** Where the batch before this one ended. */
  after: string | undefined;
}

const deletedRow = z.object({
  event_count: z.number(),
  job_count: z.number(),
  session_count: z.number(),
  /** Hand it in as `after`; null: every job has been looked at. */
  next: z.string().nullable(),
});
export type DeletedBatch = z.infer<typeof deletedRow>;

/**
 * Deletes what nobody asks for any more of the old among the next jobs: jobs that are not their document's newest, with all
 * their events; of the others all events but the last, which still says how the job ended; and sessions of workers long
 * gone. Unfinished jobs are neither read for long nor locked. One batch is one statement, over jobs in the order of their
 * ids, of which it reads no more than `limit`, also where none is old: a whole round reads the table once.
 */
export function deleteFinished(db: Queryable, batch: RetentionBatch): Promise<DeletedBatch> {
  return one(
    db,
    deletedRow,
    `with looked_at as materialized (
       select j.job_id, j.document_id, j.generation, j.state, j.finished_at
       from ${db.schema}.upload_jobs j
       where $3::uuid is null or j.job_id > $3
       order by j.job_id
       limit $2
     ), old as materialized (
       select j.job_id, exists (select from ${db.schema}.upload_jobs n
           where n.document_id = j.document_id and n.generation > j.generation) as is_superseded
       from looked_at j
       where j.state in ('done', 'deadletter', 'cancelled') and j.finished_at < now() - $1::float8 * interval '1 day'
     ), locked as materialized (
       -- a job that is being revived or deleted is left for the next time
       select j.job_id, o.is_superseded from old o cross join lateral (
         select l.job_id from ${db.schema}.upload_jobs l
         where l.job_id = o.job_id and l.state in ('done', 'deadletter', 'cancelled')
         for update skip locked
       ) j
     ), events_gone as (
       -- arrays: joined, the events could be read from the first to the last
       delete from ${db.schema}.events e
       where e.job_id = any (array(select job_id from locked)) and (
         e.job_id = any (array(select job_id from locked where is_superseded))
         or exists (select from ${db.schema}.events later
           where later.job_id = e.job_id and later.event_id > e.event_id))
       returning 1
     ), jobs_gone as (
       delete from ${db.schema}.upload_jobs j
       where j.job_id = any (array(select job_id from locked where is_superseded))
       returning 1
     ), sessions_gone as (
       delete from ${db.schema}.worker_sessions s
       where s.session_id = any (array(
         select o.session_id from ${db.schema}.worker_sessions o
         where coalesce(o.ended_at, o.expires_at) < now() - $1::float8 * interval '1 day'
           and not exists (select from ${db.schema}.session_claims c where c.session_id = o.session_id)
         limit $2
         for update skip locked))
       returning 1
     )
     select (select count(*) from events_gone) as event_count, (select count(*) from jobs_gone) as job_count,
       (select count(*) from sessions_gone) as session_count,
       case when (select count(*) from looked_at) = $2 then (select job_id from looked_at order by job_id desc limit 1) end as next`,
    [batch.olderThanDays, batch.limit, batch.after ?? null],
  );
}
