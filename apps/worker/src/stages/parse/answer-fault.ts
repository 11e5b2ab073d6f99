import type { Submission } from "@pipeline/db";
import { AppError } from "@pipeline/runtime";
import { backoffMs } from "../../backoff.ts";
import type { StageOutcome } from "../../stage-handler.ts";
import { fallBack, isReplaceable } from "./fail-submission.ts";
import { type Step, waitForProvider } from "./llamaparse-step.ts";

/** What says nothing of the document, only that the provider is out of order or busy. */
const FAULTS: ReadonlySet<string> = new Set([
  "llamaparse_unavailable",
  "llamaparse_rate_limited",
  "llamaparse_invalid_answer",
  "llamaparse_job_unfinished",
  "llamaparse_jobs_unlisted",
]);

export function isFault(error: unknown): error is AppError {
  return error instanceof AppError && FAULTS.has(error.code);
}

/**
 * Faults in a row that are waited out, about a minute's worth. They cost no attempt of the job: one document takes many
 * calls, and what has been paid for is not lost by them. From then on each is a failed attempt.
 */
const MOST_FAULTS = 6;
const FAULT_DELAY_MS = 1_000;

/** Waits out a fault of the provider; the submission stays, so that later calls go on with it. Throws everything else. */
export async function answerFault(
  step: Step,
  submission: Submission,
  { thrown, isRefused = false }: { thrown: unknown; isRefused?: boolean },
): Promise<StageOutcome> {
  const { context } = step;
  if (!isFault(thrown)) throw thrown;
  const { submission_id, fault_count } = submission;
  if (fault_count < MOST_FAULTS) {
    context.log.warn({ err: thrown, submission_id, fault_count }, "parsing service at fault");
    const { retryAfterMs } = thrown;
    const { random } = context;
    const delayMs = backoffMs({ retryCount: fault_count, baseMs: FAULT_DELAY_MS, retryAfterMs, random });
    return waitForProvider(step, submission, { delayMs, result: isRefused ? "refused" : "fault" });
  }
  if (isReplaceable(step, thrown)) return fallBack(step, submission, { error: thrown });
  throw thrown;
}
