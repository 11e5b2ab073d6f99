import { AppError } from "@pipeline/runtime";
import { z } from "zod";
import { isTerminal, STATES } from "./pipeline.ts";
import { maybeOne, type Queryable } from "./queryable.ts";
import { JOB_COLUMNS, jobRow, type JobRow } from "./rows.ts";

/** What somebody asks of one job. */
export interface JobRequest {
  job_id: string;
  /** The owner, whose jobs alone are there then. Operators leave it out. */
  user_id?: string;
  /** Of the request that asks; kept with the event. */
  correlation_id: string;
}

/**
 * Ends a job that is not at its end. A worker that holds it loses the claim at once: the fence is raised, so that none of
 * its writes counts any more, and its next heartbeat stops the handler. A claim that saw the job queued does not take what was
 * queued anew since. Throws `job_not_found` and conflict
 * `job_not_cancellable`.
 */
export async function cancelJob(db: Queryable, request: JobRequest): Promise<JobRow> {
  const cancelled = await maybeOne(
    db,
    jobRow,
    `with cancelled as (
       update ${db.schema}.upload_jobs j
       set state = 'cancelled', finished_at = now(), fence = j.fence + 1,
           lease_session_id = null, lease_expires_at = null, due_at = null, waiting_for = null, updated_at = now()
       where j.job_id = $1 and ($2::uuid is null or j.user_id = $2)
         and j.state in ('queued', 'working', 'waiting', 'retryable')
       returning ${JOB_COLUMNS}, j.fence
     ), told as (
       insert into ${db.schema}.events (job_id, type, status, state, fence, correlation_id)
       select job_id, 'cancelled', status, state, fence, nullif($3, correlation_id) from cancelled
     )
     select ${JOB_COLUMNS} from cancelled j`,
    [request.job_id, request.user_id ?? null, request.correlation_id],
  );
  if (cancelled) return cancelled;
  throw await refusalOf(db, request);
}

async function refusalOf(db: Queryable, request: JobRequest): Promise<AppError> {
  const job = await maybeOne(
    db,
    z.object({ state: z.enum(STATES) }),
    `select state from ${db.schema}.upload_jobs where job_id = $1 and ($2::uuid is null or user_id = $2)`,
    [request.job_id, request.user_id ?? null],
  );
  if (!job) return jobNotFound();
  const message = isTerminal(job.state)
    ? `The job is at its end already: ${job.state}.`
    : "The job just moved; ask again.";
  return new AppError({ kind: "conflict", code: "job_not_cancellable", message, details: { state: job.state } });
}

export function jobNotFound(): AppError {
  return new AppError({ kind: "not_found", code: "job_not_found", message: "There is no such job." });
}
