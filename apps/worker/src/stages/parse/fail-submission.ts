import { endSubmission, type Queryable, type Submission } from "@pipeline/db";
import { type AppError, isRetryable } from "@pipeline/runtime";
import type { StageOutcome } from "../../stage-handler.ts";
import { PROVIDER, type Step } from "./llamaparse-step.ts";
import { readLocally } from "./local-parser.ts";
import { storeDocument } from "./store-document.ts";

/** The submission came to nothing, and so did this attempt. The next one, if there is one, begins a new submission. */
export async function failSubmission(
  step: Step,
  submission: Submission,
  failure: { error: AppError; outcome?: "failed" | "timed_out"; isFree?: boolean },
): Promise<StageOutcome> {
  const { error, outcome = "failed", isFree = false } = failure;
  if (isReplaceable(step, error)) return fallBack(step, submission, { error, isFree });
  const { submission_id } = submission;
  const end = { submission_id, outcome, code: error.code, is_free: isFree, withdraw: outcome === "timed_out" };
  return { kind: "fail", error, write: (tx) => endSubmission(tx, end) };
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
  { error, isFree = false }: { error: AppError; isFree?: boolean },
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
    ...(submission === undefined ? {} : { write: (tx) => replaceSubmission(tx, submission, { code, isFree }) }),
  });
}

function replaceSubmission(
  tx: Queryable,
  { submission_id, provider_job_id, attempt_age_ms }: Submission,
  { code, isFree }: { code: string; isFree: boolean },
): Promise<void> {
  const is_free = isFree || (provider_job_id === null && attempt_age_ms === null);
  return endSubmission(tx, { submission_id, outcome: "replaced", code, is_free, withdraw: true });
}
