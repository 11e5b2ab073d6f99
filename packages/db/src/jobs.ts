import { jobNotFound } from "./cancel.ts";
import { maybeOne, type Queryable } from "./queryable.ts";
import { eventRow, JOB_COLUMNS, jobRow, type EventRow, type JobRow } from "./rows.ts";

/** A job of this user; another's job is not_found like one that never existed. */
export async function getJob(db: Queryable, input: { user_id: string; job_id: string }): Promise<JobRow> {
  const job = await maybeOne(
    db,
    jobRow,
    `select ${JOB_COLUMNS} from ${db.schema}.upload_jobs j where j.job_id = $1 and j.user_id = $2`,
    [input.job_id, input.user_id],
    { prepare: true },
  );
  if (!job) throw jobNotFound();
  return job;
}

/** A job's events in the order in which they happened, those after `after` only. */
export function listEvents(
  db: Queryable,
  input: { user_id: string; job_id: string; after: number; limit: number },
): Promise<EventRow[]> {
  return db.many(
    eventRow,
    `select e.event_id, e.job_id, e.type, e.status, e.state, e.fence, e.code, e.detail,
       coalesce(e.correlation_id, j.correlation_id) as correlation_id, e.created_at
     from ${db.schema}.events e join ${db.schema}.upload_jobs j on j.job_id = e.job_id
     where e.job_id = $1 and j.user_id = $2 and e.event_id > $3
     order by e.event_id
     limit $4`,
    [input.job_id, input.user_id, input.after, input.limit],
  );
}
