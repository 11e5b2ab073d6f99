import { endSubmission, type Queryable, type Submission, type SubmissionCost, type SubmissionEnd } from "@pipeline/db";
import { type AppError, isRetryable } from "@pipeline/runtime";
import type { StageOutcome } from "../../stage-handler.ts";
import { PROVIDER, type Step } from "./llamaparse-step.ts";
import { readLocally } from "./local-parser.ts";
import { storeDocument } from "./store-document.ts";

/** What is known of a submission's price; without either it may be billed, and counts as was expected. */
interface Price {
  cost?: SubmissionCost | undefined;
  /** Certainly nothing is billed. */
  isFree?: boolean | undefined;
}

interface SubmissionFailure extends Price {
  error: AppError;
  outcome?: "failed" | "timed_out";
  /** The provider may be at work on it all the same. */
  withdraw?: boolean;
}

/** The submission came to nothing, and so did this attempt. The next one, if there is one, begins a new submission. */
export async function failSubmission(
  step: Step,
  submission: Submission,
  { error, outcome = "failed", withdraw = outcome === "timed_out", ...price }: SubmissionFailure,
): Promise<StageOutcome> {
  if (isReplaceable(step, error)) return fallBack(step, submission, { error, ...price });
  const { submission_id } = submission;
  const end = { submission_id, outcome, code: error.code, withdraw, ...endPrice(price) };
  return { kind: "fail", error, write: (tx) => endSubmission(tx, end) };
}

function endPrice({ cost, isFree = false }: Price): Pick<SubmissionEnd, "cost" | "is_free"> {
  return { is_free: isFree, ...(cost === undefined ? {} : { cost }) };
}

/** Only what a later attempt could mend is the provider's fault, and only the last attempt's failure is final. */
export function isReplaceable({ context, setup }: Step, error: AppError): boolean {
  return setup.fallback === "local" && context.isLastAttempt && isRetryable(error);
}

/**
 * Reads the document here in the provider's place, and says so in the event, in its notes and beside the pages. The
 * submission is the one that this replaces, where one was begun.
 */
export async function fallBack(
  { job, context }: Step,
  submission: Submission | undefined,
  { error, ...price }: Price & { error: AppError },
): Promise<StageOutcome> {
  const { code } = error;
  context.log.warn({ err: error, submission_id: submission?.submission_id }, "local parser stands in");
  const document = await readLocally(context);
  const note = {
    code: "provider_fallback",
    message: "The parsing service was out of order; the document was read without it, which can be less exact.",
  };
  return storeDocument(job, {
    document: { ...document, notes: [note, ...document.notes] },
    fallbackCode: code,
    detail: { fallback_for: { provider: PROVIDER, code } },
    ...(submission === undefined ? {} : { write: (tx) => replaceSubmission(tx, submission, { code, ...price }) }),
  });
}

function replaceSubmission(
  tx: Queryable,
  { submission_id, provider_job_id, settles_in_ms }: Submission,
  { code, cost, isFree = provider_job_id === null && settles_in_ms === null }: Price & { code: string },
): Promise<void> {
  const end = { submission_id, outcome: "replaced", code, withdraw: true } as const;
  return endSubmission(tx, { ...end, ...endPrice({ cost, isFree }) });
}
