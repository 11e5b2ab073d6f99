import { countLostSubmissions, endSubmission, replaceProviderJob } from "@pipeline/db";
import { longestJobMs, type ProviderJob } from "@pipeline/llamaparse";
import { AppError, LIMITS } from "@pipeline/runtime";
import type { StageOutcome } from "../../stage-handler.ts";
import { tellWorking } from "../provider-circuit.ts";
import { failSubmission } from "./fail-submission.ts";
import { callerOf, callOptions, type Step, SUBMIT_AGAIN, type Submitted, waitForProvider } from "./llamaparse-step.ts";

/** What is paid for is not given up for one 404: the provider says it a second time, so much later. */
const MISSING_MS = 30_000;

/**
 * The provider does not know the job that it named. The job is looked for in its list, and asked for once more, before the
 * document is sent, and paid, again. One that is listed has as long as a job may take to be known again.
 */
export async function seekMissingJob(
  step: Step,
  submission: Submitted,
  error: AppError,
): Promise<StageOutcome | typeof SUBMIT_AGAIN> {
  const listed = await findListed(step, submission);
  await tellWorking(callerOf(step), step.probe_id);
  const isOther = listed !== undefined && listed.id !== submission.provider_job_id;
  if (isOther) return takeOther(step, submission, listed);
  const patienceMs = listed === undefined ? MISSING_MS : longestJobMs(LIMITS.maxPages);
  const leftMs = patienceMs - (submission.missed_age_ms ?? 0);
  if (leftMs <= 0) return resubmit(step, submission, error);
  return waitForProvider(step, submission, { delayMs: Math.min(MISSING_MS, leftMs), result: "missing", error });
}

/** One that can still be used. A list that is too long to be looked through has nothing to add to what was said twice. */
async function findListed(step: Step, { submission_id, created_at }: Submitted): Promise<ProviderJob | undefined> {
  try {
    const query = { submissionId: submission_id, since: created_at };
    const job = await step.setup.client.findJob(query, callOptions(step));
    return job?.failure === null ? job : undefined;
  } catch (error) {
    if (error instanceof AppError && error.code === "llamaparse_jobs_unlisted") return undefined;
    throw error;
  }
}

async function takeOther(step: Step, submission: Submitted, { id }: ProviderJob): Promise<StageOutcome> {
  const { submission_id } = submission;
  await step.context.save((tx) => replaceProviderJob(tx, { submission_id, provider_job_id: id }));
  return waitForProvider(step, submission, { delayMs: 0, result: "unfinished" });
}

/** A provider that forgets whatever it is sent is not paid for ever. */
const MOST_LOST = 2;

/** Should the job turn up again, it is told to stop. */
async function resubmit(
  step: Step,
  submission: Submitted,
  error: AppError,
): Promise<StageOutcome | typeof SUBMIT_AGAIN> {
  const { job, context } = step;
  const { submission_id } = submission;
  if ((await countLostSubmissions(context.database, job)) >= MOST_LOST) {
    return failSubmission(step, submission, { error, withdraw: true });
  }
  context.log.warn({ err: error, submission_id }, "parsing service forgot the job");
  const end = { submission_id, outcome: "lost", code: error.code, withdraw: true } as const;
  await context.save((tx) => endSubmission(tx, end));
  return SUBMIT_AGAIN;
}
