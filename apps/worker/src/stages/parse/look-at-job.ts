import { endSubmission, type SubmissionCost } from "@pipeline/db";
import {
  type Billed,
  CREDITS_PER_PAGE,
  isEnded,
  judgeLlamaParseFailure,
  longestJobMs,
  type ProviderJob,
  type ProviderResult,
  type RefusedResult,
  TIERS,
} from "@pipeline/llamaparse";
import { AppError, LIMITS } from "@pipeline/runtime";
import type { StageOutcome } from "../../stage-handler.ts";
import { tellWorking } from "../provider-circuit.ts";
import { failSubmission } from "./fail-submission.ts";
import {
  callerOf,
  callOptions,
  PROVIDER,
  type Step,
  type SUBMIT_AGAIN,
  type Submitted,
  usdOf,
  waitForProvider,
} from "./llamaparse-step.ts";
import { seekMissingJob } from "./seek-missing-job.ts";
import { storeDocument } from "./store-document.ts";

/** Looks get rarer as the provider's job ages: a quarter of its age, within these bounds. */
export const FIRST_LOOK_MS = 3_000;
const LONGEST_LOOK_MS = 60_000;

const NOT_FOUND = "llamaparse_job_not_found";
const UNAUTHORIZED = "llamaparse_unauthorized";

/** Asks how the provider's job stands, and stores its result if it has one. */
export async function lookAtJob(step: Step, submission: Submitted): Promise<StageOutcome | typeof SUBMIT_AGAIN> {
  try {
    const job = await step.setup.client.status(submission.provider_job_id, callOptions(step));
    if (isEnded(job) && job.failure === null) return await collect(step, submission);
    await tellWorking(callerOf(step), step.probe_id);
    if (job.failure !== null) return await failSubmission(step, submission, { error: job.failure, ...priceOf(job) });
    return await waitForEnd(step, submission);
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    if (error.code === NOT_FOUND) return seekMissingJob(step, submission, error);
    if (error.code === UNAUTHORIZED) return waitForAccess(step, submission, error);
    throw error;
  }
}

/** A job that failed costs nothing, unless the provider says so. */
function priceOf({ credits }: ProviderJob): { isFree: true } | { cost: SubmissionCost } {
  if (credits === null || credits === 0) return { isFree: true };
  return { cost: { page_count: 0, credits, is_estimate: false, cost_usd: usdOf(credits) } };
}

/** `error`: why the provider says nothing of its job. */
async function waitForEnd(step: Step, submission: Submitted, error?: AppError): Promise<StageOutcome> {
  const ageMs = submission.submitted_age_ms ?? 0;
  // How many pages there are nobody has said yet. The provider ends shorter jobs sooner, by its own count.
  if (ageMs > longestJobMs(LIMITS.maxPages)) {
    return failSubmission(step, submission, { error: tookTooLong(), outcome: "timed_out" });
  }
  const delayMs = Math.min(LONGEST_LOOK_MS, Math.max(FIRST_LOOK_MS, ageMs / 4));
  return waitForProvider(step, submission, {
    delayMs,
    result: error === undefined ? "unfinished" : "undecided",
    error,
  });
}

/** Where the account is good, the provider hides this one job from us: no matter of other documents. */
async function waitForAccess(step: Step, submission: Submitted, error: AppError): Promise<StageOutcome> {
  await step.setup.client.check(callOptions(step));
  const { submission_id } = submission;
  step.context.log.warn({ err: error, submission_id }, "parsing service refuses to show a job");
  await tellWorking(callerOf(step), step.probe_id);
  return waitForEnd(step, submission, error);
}

async function collect(step: Step, submission: Submitted): Promise<StageOutcome> {
  const { submission_id, tier, version } = submission;
  const result = await fetchResult(step, submission);
  await tellWorking(callerOf(step), step.probe_id);
  if (result instanceof AppError) return failSubmission(step, submission, { error: result });
  const cost = costOf(result, submission);
  if ("refusal" in result) return failSubmission(step, submission, { error: result.refusal, cost });
  const failed_page_count = result.failed_pages.length;
  return storeDocument(step.job, {
    document: result.document,
    submissionId: submission_id,
    failedPageCount: failed_page_count,
    detail: {
      provider: PROVIDER,
      tier,
      version,
      credits: cost.credits,
      is_credits_estimate: cost.is_estimate,
      failed_page_count,
    },
    write: (tx) => endSubmission(tx, { submission_id, outcome: "completed", cost }),
  });
}

/** Answers with an error where asking once more would lead to the same. */
async function fetchResult(step: Step, submission: Submitted): Promise<ProviderResult | RefusedResult | AppError> {
  try {
    return await step.setup.client.result(submission.provider_job_id, callOptions(step));
  } catch (error) {
    if (!isVerdict(error)) throw error;
    return error;
  }
}

/** It says something of our request, not of the document: once that is mended, the submission is as good as before. */
const REJECTED = "llamaparse_rejected";

function isVerdict(error: unknown): error is AppError {
  if (!(error instanceof AppError) || error.code === NOT_FOUND || error.code === REJECTED) return false;
  return judgeLlamaParseFailure(error) === "none";
}

/** Until billing has settled the provider says 0 or nothing; the price is per page that was read. */
function costOf({ page_count, failed_pages, credits }: Billed, { tier }: Submitted): SubmissionCost {
  if (credits !== null && credits > 0) return { page_count, credits, is_estimate: false, cost_usd: usdOf(credits) };
  const known = TIERS.find((name) => name === tier);
  const price = known === undefined ? 0 : CREDITS_PER_PAGE[known];
  const estimate = (page_count - failed_pages.length) * price;
  return { page_count, credits: estimate, is_estimate: true, cost_usd: usdOf(estimate) };
}

function tookTooLong(): AppError {
  return new AppError({
    kind: "transient",
    code: "parse_timeout",
    message: "Reading the document took longer than is allowed.",
  });
}
