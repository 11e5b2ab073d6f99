import type { Submission } from "@pipeline/db";
import { longestJobMs } from "@pipeline/llamaparse";
import { AppError, LIMITS } from "@pipeline/runtime";
import type { Deferral } from "../../deferral.ts";
import type { StageOutcome } from "../../stage-handler.ts";
import { fallBack } from "./fail-submission.ts";
import type { Step } from "./llamaparse-step.ts";

/**
 * Gives the job back until the provider may work again, without counting an attempt or a fault. Where the local parser may
 * stand in, it reads what the provider does not have; what was sent is paid, and waited for as long as the provider may take.
 */
export async function waitOutOutage(
  step: Step,
  submission: Submission | undefined,
  outage: Deferral,
): Promise<StageOutcome> {
  const { context, setup } = step;
  if (setup.fallback !== "local" || isWithProvider(submission)) throw outage;
  // What is wrong with the file itself is no matter of parsers.
  await context.file();
  try {
    return await fallBack(step, submission, { error: outage.reason });
  } catch (error) {
    context.signal.throwIfAborted();
    if (!(error instanceof AppError)) throw error;
    // The provider reads more than we do, scans for one: the document waits for it.
    context.log.warn({ err: error }, "local parser cannot stand in");
    throw outage;
  }
}

function isWithProvider(submission: Submission | undefined): boolean {
  const ageMs = submission?.submitted_age_ms ?? submission?.attempt_age_ms ?? Infinity;
  return ageMs <= longestJobMs(LIMITS.maxPages);
}
