import { countLostSubmissions, endSubmission } from "@pipeline/db";
import {
  CREDITS_PER_PAGE,
  isEnded,
  judgeLlamaParseFailure,
  longestJobMs,
  type ProviderResult,
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
  SUBMIT_AGAIN,
  type Submitted,
  usdOf,
  waitForProvider,
} from "./llamaparse-step.ts";
import { storeDocument } from "./store-document.ts";

/** Looks get rarer as the provider's job ages: a quarter of its age, within these bounds. */
export const FIRST_LOOK_MS = 3_000;
const LONGEST_LOOK_MS = 60_000;

/** Asks how the provider's job stands, and stores its result if it has one. */
export async function lookAtJob(step: Step, submission: Submitted): Promise<StageOutcome | typeof SUBMIT_AGAIN> {
  try {
    const job = await step.setup.client.status(submission.provider_job_id, callOptions(step));
    if (isEnded(job) && job.failure === null) return await collect(step, submission);
    await tellWorking(callerOf(step), step.probe_id);
    if (job.failure !== null) return await failSubmission(step, submission, { error: job.failure, isFree: true });
    return await waitForEnd(step, submission);
  } catch (error) {
    if (error instanceof AppError && error.code === NOT_FOUND) return resubmit(step, submission, error);
    throw error;
  }
}

const NOT_FOUND = "llamaparse_job_not_found";

async function waitForEnd(step: Step, submission: Submitted): Promise<StageOutcome> {
  const ageMs = submission.submitted_age_ms ?? 0;
  // How many pages there are nobody has said yet. The provider ends shorter jobs sooner, by its own count.
  if (ageMs > longestJobMs(LIMITS.maxPages)) {
    return failSubmission(step, submission, { error: tookTooLong(), outcome: "timed_out" });
  }
  const delayMs = Math.min(LONGEST_LOOK_MS, Math.max(FIRST_LOOK_MS, ageMs / 4));
  return waitForProvider(step, submission, { delayMs, result: "unfinished" });
}

async function collect(step: Step, submission: Submitted): Promise<StageOutcome> {
  const { submission_id, tier, version } = submission;
  let result: ProviderResult;
  try {
    result = await step.setup.client.result(submission.provider_job_id, callOptions(step));
  } catch (error) {
    if (!isVerdict(error)) throw error;
    await tellWorking(callerOf(step), step.probe_id);
    return failSubmission(step, submission, { error });
  }
  await tellWorking(callerOf(step), step.probe_id);
  const cost = costOf(result, submission);
  return storeDocument(step.job, {
    document: result.document,
    submissionId: submission_id,
    failedPageCount: result.failed_pages.length,
    detail: {
      provider: PROVIDER,
      tier,
      version,
      credits: cost.credits,
      is_credits_estimate: cost.is_estimate,
      failed_page_count: result.failed_pages.length,
    },
    write: (tx) => endSubmission(tx, { submission_id, outcome: "completed", cost }),
  });
}

/** It says something of our request, not of the document: once that is mended, the submission is as good as before. */
const REJECTED = "llamaparse_rejected";

/** Whether asking for the result once more would lead to the same. */
function isVerdict(error: unknown): error is AppError {
  if (!(error instanceof AppError) || error.code === NOT_FOUND || error.code === REJECTED) return false;
  return judgeLlamaParseFailure(error) === "none";
}

/** Until billing has settled the provider says 0 or nothing; the price is per page that was read. */
function costOf({ document, failed_pages, credits }: ProviderResult, submission: Submitted) {
  const page_count = document.pages.length;
  if (credits !== null && credits > 0) return { page_count, credits, is_estimate: false, cost_usd: usdOf(credits) };
  const tier = TIERS.find((name) => name === submission.tier);
  const price = tier === undefined ? 0 : CREDITS_PER_PAGE[tier];
  const estimate = (page_count - failed_pages.length) * price;
  return { page_count, credits: estimate, is_estimate: true, cost_usd: usdOf(estimate) };
}

/** A provider that forgets whatever it is sent is not paid for ever. */
const MOST_LOST = 2;

async function resubmit(
  step: Step,
  submission: Submitted,
  error: AppError,
): Promise<StageOutcome | typeof SUBMIT_AGAIN> {
  const { job, context } = step;
  const { submission_id } = submission;
  await tellWorking(callerOf(step), step.probe_id);
  if ((await countLostSubmissions(context.database, job)) >= MOST_LOST) {
    return failSubmission(step, submission, { error });
  }
  context.log.warn({ err: error, submission_id }, "parsing service forgot the job");
  await context.save((tx) => endSubmission(tx, { submission_id, outcome: "lost", code: error.code }));
  return SUBMIT_AGAIN;
}

function tookTooLong(): AppError {
  return new AppError({
    kind: "transient",
    code: "parse_timeout",
    message: "Reading the document took longer than is allowed.",
  });
}
