import type { AppError } from "@pipeline/runtime";
import { z } from "zod";
import type { Stage } from "./pipeline.ts";
import { maybeOne, one, type Queryable } from "./queryable.ts";
import { recordLostSpend, recordSpend, releaseBudget } from "./spending.ts";
import { storableJson } from "./storable-text.ts";

/** A document that was sent to a provider, or is about to be, as the parse stage sees it. */
const submissionRow = z.object({
  submission_id: z.string(),
  /** Null until the provider has answered. */
  provider_job_id: z.string().nullable(),
  tier: z.string(),
  version: z.string(),
  webhook_secret: z.string(),
  created_at: z.date(),
  /** Since sending began last, by the database's clock; null: nothing was sent, or the answer said that it failed. */
  attempt_age_ms: z.number().nullable(),
  /** For how long what was sent may still become a job, below 0: no longer; null: none can come of it. */
  settles_in_ms: z.number().nullable(),
  /** Since the provider's id became known. */
  submitted_age_ms: z.number().nullable(),
  /** Since the provider said that it does not know its job; null: it does. */
  missed_age_ms: z.number().nullable(),
  fault_count: z.number(),
  callback_count: z.number(),
});
export type Submission = z.infer<typeof submissionRow>;

const SUBMISSION_COLUMNS = `submission_id, provider_job_id, tier, version, webhook_secret, created_at,
  extract(epoch from now() - attempted_at)::float8 * 1000 as attempt_age_ms,
  extract(epoch from settles_at - now())::float8 * 1000 as settles_in_ms,
  extract(epoch from now() - submitted_at)::float8 * 1000 as submitted_age_ms,
  extract(epoch from now() - missed_at)::float8 * 1000 as missed_age_ms, fault_count, callback_count`;

/** The job's open submission, of which there is at most one. */
export function findSubmission(db: Queryable, job: { job_id: string }): Promise<Submission | undefined> {
  return maybeOne(
    db,
    submissionRow,
    `select ${SUBMISSION_COLUMNS} from ${db.schema}.provider_jobs where job_id = $1 and ended_at is null`,
    [job.job_id],
  );
}

/** Something is sent, or was, and may become a job of the provider's although nobody hears of it. */
export interface Attempt {
  submission_id: string;
  /** For how long from now on: before that, that there is no job proves nothing. */
  settles_in_ms: number;
}

export interface NewSubmission extends Attempt {
  job_id: string;
  provider: string;
  tier: string;
  version: string;
  webhook_secret: string;
}

/** Opens a submission that is about to be sent; doing so again changes nothing. Behind `holdJob`. */
export async function openSubmission(tx: Queryable, submission: NewSubmission): Promise<void> {
  await tx.run(
    `insert into ${tx.schema}.provider_jobs (submission_id, job_id, provider, tier, version, webhook_secret,
       attempted_at, settles_at)
     values ($1, $2, $3, $4, $5, $6, now(), now() + $7::float8 * interval '1 ms')
     on conflict (submission_id) do nothing`,
    [
      submission.submission_id,
      submission.job_id,
      submission.provider,
      submission.tier,
      submission.version,
      submission.webhook_secret,
      submission.settles_in_ms,
    ],
  );
}

/** An open submission is about to be sent again. Behind `holdJob`. */
export async function beginAttempt(tx: Queryable, { submission_id, settles_in_ms }: Attempt): Promise<void> {
  await tx.run(
    `update ${tx.schema}.provider_jobs
     set attempted_at = now(), settles_at = now() + $2::float8 * interval '1 ms'
     where submission_id = $1`,
    [submission_id, settles_in_ms],
  );
}

/**
 * Sending is over, and nobody knows whether a job comes of it. `has_failed`: the answer said that it failed, so that none is
 * to be expected. Behind `holdJob`.
 */
export async function endAttempt(
  tx: Queryable,
  { submission_id, settles_in_ms, has_failed }: Attempt & { has_failed: boolean },
): Promise<void> {
  await tx.run(
    `update ${tx.schema}.provider_jobs
     set settles_at = now() + $2::float8 * interval '1 ms', attempted_at = case when not $3 then attempted_at end
     where submission_id = $1 and provider_job_id is null`,
    [submission_id, settles_in_ms, has_failed],
  );
}

/** What was sent was refused: it can become no job. Behind `holdJob`. */
export async function recordRefusal(tx: Queryable, submission: { submission_id: string }): Promise<void> {
  await tx.run(
    `update ${tx.schema}.provider_jobs set attempted_at = null, settles_at = null
     where submission_id = $1 and provider_job_id is null`,
    [submission.submission_id],
  );
}

/** The provider has the document, under this id. Behind `holdJob`. */
export async function storeProviderJob(
  tx: Queryable,
  submission: { submission_id: string; provider_job_id: string },
): Promise<void> {
  await tx.run(
    `update ${tx.schema}.provider_jobs
     set provider_job_id = $2, submitted_at = now(), fault_count = 0
     where submission_id = $1 and provider_job_id is null`,
    [submission.submission_id, submission.provider_job_id],
  );
}

/** The provider has forgotten its job, and has another one of the submission. Behind `holdJob`. */
export async function replaceProviderJob(
  tx: Queryable,
  submission: { submission_id: string; provider_job_id: string },
): Promise<void> {
  await tx.run(
    `update ${tx.schema}.provider_jobs set provider_job_id = $2, submitted_at = now(), missed_at = null
     where submission_id = $1 and provider_job_id <> $2`,
    [submission.submission_id, submission.provider_job_id],
  );
}

export interface Look {
  submission_id: string;
  /** As they were when the look began. */
  callback_count: number;
  /** `missing`: the provider does not know its job. `undecided`: says nothing of the provider. */
  result: "unfinished" | "fault" | "missing" | "undecided";
}

/**
 * Records one look at the provider, in the transaction that parks the job. A callback that came meanwhile found the job
 * in a worker's hands, so the job is queued again at once.
 */
export async function recordLook(tx: Queryable, look: Look & { job_id: string }): Promise<void> {
  const { callback_count } = await one(
    tx,
    z.object({ callback_count: z.number() }),
    `update ${tx.schema}.provider_jobs
     set poll_count = poll_count + 1, polled_at = now(),
         fault_count = case $2::text when 'unfinished' then 0 when 'fault' then fault_count + 1 else fault_count end,
         missed_at = case $2::text when 'unfinished' then null when 'missing' then coalesce(missed_at, now())
           else missed_at end
     where submission_id = $1
     returning callback_count`,
    [look.submission_id, look.result],
  );
  if (callback_count > look.callback_count) await queueParked(tx, look);
}

/**
 * Tells the owner why a job is parked, once, not each time that it is looked at again. In the transaction that parks it,
 * before `recordLook`.
 */
export async function tellWait(tx: Queryable, wait: { job_id: string; stage: Stage; error: AppError }): Promise<void> {
  const { job_id, stage, error } = wait;
  const { code, message } = error;
  await tx.run(
    `insert into ${tx.schema}.events (job_id, type, status, state, fence, code, detail)
     select j.job_id, 'waiting', j.status, j.state, j.fence, $2::text, $3::jsonb || jsonb_build_object('due_at', j.due_at)
     from ${tx.schema}.upload_jobs j
     where j.job_id = $1 and not exists (
       select from (
         select e.type, e.code from ${tx.schema}.events e where e.job_id = $1 order by e.event_id desc limit 1
       ) last
       where last.type = 'waiting' and last.code = $2::text)`,
    [job_id, code, storableJson({ ...error.details, stage, code, message })],
  );
}

/**
 * Makes a job claimable that waits for its parser; answers whether there was one. It keeps its place if that is ahead, else
 * it comes back behind those of its user's that came back before, so that a thousand answers at once do not go before
 * everybody else.
 */
export async function queueParked(tx: Queryable, job: { job_id: string }): Promise<boolean> {
  const queued = await tx.run(
    `update ${tx.schema}.upload_jobs j
     set state = 'queued', due_at = null, waiting_for = null, updated_at = now(),
         turn = case when j.turn > (select last_value from ${tx.schema}.served_turn) then j.turn
           else ${tx.schema}.return_turns(j.user_id, 1) end
     where j.job_id = $1 and j.state = 'waiting' and j.waiting_for = 'parser'`,
    [job.job_id],
  );
  return queued === 1;
}

/** How a submission can end. */
export type SubmissionOutcome = "completed" | "failed" | "lost" | "timed_out" | "replaced" | "withdrawn";

export interface SubmissionCost {
  page_count: number;
  credits: number;
  is_estimate: boolean;
  cost_usd: number;
}

export interface SubmissionEnd {
  submission_id: string;
  outcome: Exclude<SubmissionOutcome, "withdrawn">;
  /** Of the failure. */
  code?: string;
  cost?: SubmissionCost;
  /** Without a cost: certainly nothing will be billed. */
  is_free?: boolean;
  /** The provider may still be at work and is to be told to stop. */
  withdraw?: boolean;
}

/**
 * The job waits for this submission no longer; its next attempt begins another. In the transaction that says why, and last
 * in it: what was set aside under the submission's id is accounted for, which locks the sums that all workers write to.
 */
export async function endSubmission(tx: Queryable, end: SubmissionEnd): Promise<void> {
  const { submission_id, outcome, code = null, cost, withdraw = false } = end;
  await tx.run(
    `update ${tx.schema}.provider_jobs
     set ended_at = now(), outcome = $2, code = $3, page_count = $4, credits = $5, is_credits_estimate = $6,
         -- what has no id yet can be found once it has become a job
         cancel_due_at = case when $7 and provider_job_id is null then greatest(now(), settles_at) when $7 then now() end
     where submission_id = $1 and ended_at is null`,
    [
      submission_id,
      outcome,
      code,
      cost?.page_count ?? null,
      cost?.credits ?? null,
      cost?.is_estimate ?? null,
      withdraw,
    ],
  );
  await settleBudget(tx, end);
}

/** In the transaction that ends the submission, so that a cost is recorded once. */
async function settleBudget(tx: Queryable, { submission_id, cost, is_free }: SubmissionEnd): Promise<void> {
  if (cost !== undefined) {
    await recordSpend(tx, { reservation_id: submission_id, cost_usd: cost.cost_usd, pages: cost.page_count });
  } else if (is_free) await releaseBudget(tx, submission_id);
  else await recordLostSpend(tx, submission_id);
}

/** How many of the job's submissions the provider forgot. */
export async function countLostSubmissions(db: Queryable, job: { job_id: string }): Promise<number> {
  const { lost_count } = await one(
    db,
    z.object({ lost_count: z.number() }),
    `select count(*)::int as lost_count from ${db.schema}.provider_jobs where job_id = $1 and outcome = 'lost'`,
    [job.job_id],
  );
  return lost_count;
}
