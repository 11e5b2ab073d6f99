import type { AppError } from "@pipeline/runtime";
import { z } from "zod";
import type { Stage } from "./pipeline.ts";
import { maybeOne, type Queryable } from "./queryable.ts";
import type { Hold } from "./rows.ts";
import { storableJson } from "./storable-text.ts";

export interface JobDeferral {
  stage: Stage;
  /** Why, as the job's `last_error` tells it. */
  error: AppError;
  delayMs: number;
}

/**
 * Ends a claim because something that the document is not to blame for is in the way: the job is `retryable` later, and no
 * attempt is counted. An event tells the reason once, not each time that the job looks again. False: the claim is lost.
 */
export async function deferJob(db: Queryable, hold: Hold, { stage, error, delayMs }: JobDeferral): Promise<boolean> {
  const lastError = { stage, code: error.code, message: error.message, retryable: true };
  const deferred = await maybeOne(
    db,
    z.object({ job_id: z.string() }),
    `with deferred as (
       update ${db.schema}.upload_jobs j
       set state = 'retryable', due_at = now() + $3::float8 * interval '1 ms',
         last_error = $4::jsonb || jsonb_build_object('at', now()),
         lease_session_id = null, lease_expires_at = null, updated_at = now()
       where j.job_id = $1 and j.fence = $2 and j.state = 'working'
       returning j.job_id, j.status, j.state, j.fence, j.last_error, j.retry_count, j.due_at
     ), told as (
       insert into ${db.schema}.events (job_id, type, status, state, fence, code, detail)
       select job_id, 'retry_scheduled', status, state, fence, last_error ->> 'code',
         last_error || $5::jsonb || jsonb_build_object('retry_count', retry_count, 'due_at', due_at, 'deferred', true)
       from deferred
       where not exists (
         select from (
           select e.type, e.code from ${db.schema}.events e where e.job_id = $1 order by e.event_id desc limit 1
         ) last
         where last.type = 'retry_scheduled' and last.code = $6)
     )
     select job_id from deferred`,
    [hold.job_id, hold.fence, delayMs, storableJson(lastError), storableJson(error.details ?? {}), error.code],
  );
  return deferred !== undefined;
}
