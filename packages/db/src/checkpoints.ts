import { AppError, isRetryable } from "@pipeline/runtime";
import { z } from "zod";
import { type Stage, type State, type Status, type WaitingFor } from "./pipeline.ts";
import { leaseMs } from "./leases.ts";
import { maybeOne, type Queryable } from "./queryable.ts";
import type { Hold } from "./rows.ts";
import { storableJson } from "./storable-text.ts";

/** One finished stage of one claim. */
export interface Checkpoint extends Hold {
  from: Status;
  to: Status;
  /** Merged into the job's progress. */
  progress: Record<string, unknown>;
  /** Kept with the event. */
  detail: Record<string, unknown>;
}

/**
 * Moves each job one status on, with its event and the document's status; reaching `complete` ends the job. Answers
 * the ids whose fence still matched. The others changed nothing: their claim is lost.
 */
export async function advanceJobs(db: Queryable, checkpoints: readonly Checkpoint[]): Promise<Set<string>> {
  const sorted = checkpoints.toSorted((a, b) => (a.job_id < b.job_id ? -1 : 1));
  const moved = await db.many(
    z.object({ job_id: z.string() }),
    `select moved.job_id from ${db.schema}.advance_jobs($1, $2, $3, $4, $5, $6, $7) as moved (job_id)`,
    [
      sorted.map((checkpoint) => checkpoint.job_id),
      sorted.map((checkpoint) => checkpoint.fence),
      sorted.map((checkpoint) => checkpoint.from),
      sorted.map((checkpoint) => checkpoint.to),
      sorted.map((checkpoint) => leaseMs(checkpoint.to)),
      sorted.map((checkpoint) => jsonOrNull(checkpoint.progress)),
      sorted.map((checkpoint) => jsonOrNull(checkpoint.detail)),
    ],
    { prepare: true },
  );
  return new Set(moved.map((row) => row.job_id));
}

function jsonOrNull(record: Record<string, unknown>): string | null {
  return Object.keys(record).length === 0 ? null : storableJson(record);
}

/**
 * Locks the job for the rest of the transaction, if this claim still holds it. Rows that a stage stores between
 * checkpoints are written behind this. False: the claim is lost, write nothing.
 */
export async function holdJob(tx: Queryable, hold: Hold): Promise<boolean> {
  const held = await tx.run(
    `select 1 from ${tx.schema}.upload_jobs where job_id = $1 and fence = $2 and state = 'working' for no key update`,
    [hold.job_id, hold.fence],
  );
  return held === 1;
}

/** Merges counters into the job's progress. False: the claim is lost. */
export async function reportProgress(db: Queryable, hold: Hold, progress: Record<string, unknown>): Promise<boolean> {
  const updated = await db.run(
    `update ${db.schema}.upload_jobs set progress = progress || $3::jsonb, updated_at = now()
     where job_id = $1 and fence = $2 and state = 'working'`,
    [hold.job_id, hold.fence, storableJson(progress)],
  );
  return updated === 1;
}

export interface Failure {
  stage: Stage;
  error: AppError;
  /** Retries allowed per stage; the attempt after the last one dead-letters the job. */
  maxRetries: number;
  /** How long until the next attempt, if there is one. */
  delayMs: number;
}

/** Ends a claim with a failure: `retryable` while retries remain and the error allows it, else `deadletter`. */
export function failJob(db: Queryable, hold: Hold, failure: Failure): Promise<State | undefined> {
  const { error } = failure;
  const lastError = { stage: failure.stage, code: error.code, message: error.message, retryable: isRetryable(error) };
  return endClaim(
    db,
    `with failed as (
       update ${db.schema}.upload_jobs j
       set state = case when $3 and j.retry_count < $4 then 'retryable' else 'deadletter' end,
           due_at = case when $3 and j.retry_count < $4 then now() + $5::float8 * interval '1 ms' end,
           finished_at = case when $3 and j.retry_count < $4 then null else now() end,
           retry_count = j.retry_count + case when $3 and j.retry_count < $4 then 1 else 0 end,
           last_error = $6::jsonb || jsonb_build_object('at', now()),
           lease_session_id = null, lease_expires_at = null, updated_at = now()
       where j.job_id = $1 and j.fence = $2 and j.state = 'working'
       returning j.job_id, j.status, j.state, j.fence, j.last_error, j.retry_count, j.due_at
     ), told as (
       insert into ${db.schema}.events (job_id, type, status, state, fence, code, detail)
       select job_id, case state when 'deadletter' then 'deadlettered' else 'retry_scheduled' end, status, state, fence,
         last_error ->> 'code', last_error || $7::jsonb || jsonb_build_object('retry_count', retry_count, 'due_at', due_at)
       from failed
     )
     select state from failed`,
    [
      hold.job_id,
      hold.fence,
      isRetryable(error),
      failure.maxRetries,
      failure.delayMs,
      storableJson(lastError),
      storableJson(error.details ?? {}),
    ],
  );
}

/** Ends a claim by waiting for something outside; it is claimed again after `delayMs` at the latest. No event: probes repeat. */
export function parkJob(
  db: Queryable,
  hold: Hold,
  wait: { waiting_for: WaitingFor; delayMs: number },
): Promise<State | undefined> {
  return endClaim(
    db,
    `update ${db.schema}.upload_jobs
     set state = 'waiting', waiting_for = $3, due_at = now() + $4::float8 * interval '1 ms',
         lease_session_id = null, lease_expires_at = null, updated_at = now()
     where job_id = $1 and fence = $2 and state = 'working'
     returning state`,
    [hold.job_id, hold.fence, wait.waiting_for, wait.delayMs],
  );
}

/** Gives a job back untouched, burning no attempt: a graceful shutdown. */
export function releaseJob(db: Queryable, hold: Hold): Promise<State | undefined> {
  return endClaim(
    db,
    `with released as (
       update ${db.schema}.upload_jobs
       set state = 'queued', lease_session_id = null, lease_expires_at = null, updated_at = now()
       where job_id = $1 and fence = $2 and state = 'working'
       returning job_id, status, state, fence
     ), told as (
       insert into ${db.schema}.events (job_id, type, status, state, fence, code)
       select job_id, 'released', status, state, fence, 'worker_stopped' from released
     )
     select state from released`,
    [hold.job_id, hold.fence],
  );
}

const stateRow = z.object({ state: z.enum(["queued", "waiting", "retryable", "deadletter"]) });

/** The state that the job went to; undefined when the claim was lost and nothing changed. */
async function endClaim(
  db: Queryable,
  sql: string,
  parameters: readonly (string | number | boolean)[],
): Promise<State | undefined> {
  return (await maybeOne(db, stateRow, sql, parameters))?.state;
}
