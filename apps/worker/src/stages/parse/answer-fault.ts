import { endSubmission, findSubmission, type Submission } from "@pipeline/db";
import { judgeLlamaParseFailure, type LlamaParseBlame } from "@pipeline/llamaparse";
import { AppError } from "@pipeline/runtime";
import { backoffMs } from "../../backoff.ts";
import type { Deferral } from "../../deferral.ts";
import type { StageOutcome } from "../../stage-handler.ts";
import { tellFault } from "../provider-circuit.ts";
import { fallBack, isReplaceable } from "./fail-submission.ts";
import { callerOf, type Step, waitForProvider } from "./llamaparse-step.ts";
import { waitOutOutage } from "./wait-out-outage.ts";

/**
 * Faults in a row of one document's calls that are waited out, about a minute's worth. They cost no attempt of the job: one
 * document takes many calls, and what has been paid for is not lost by them. From then on each is a failed attempt, unless
 * the provider is out of order for everybody.
 */
const MOST_FAULTS = 6;
const FAULT_DELAY_MS = 1_000;

/**
 * Waits out a fault of the provider, and lets all workers know of it; the submission stays, so that later calls go on with
 * it. Throws everything else.
 */
export async function answerFault(step: Step, begun: Submission, thrown: unknown): Promise<StageOutcome> {
  const blame = judgeLlamaParseFailure(thrown);
  if (!(thrown instanceof AppError) || blame === "none") throw thrown;
  const { context, job } = step;
  // As this step left it, but for the callbacks that came since it began.
  const stored = await findSubmission(context.database, job);
  const submission = { ...begun, ...stored, callback_count: begun.callback_count };
  const { submission_id, fault_count } = submission;
  const outage = await tellOutage(step, submission, { error: thrown, blame });
  if (outage !== undefined) {
    return waitOutOutage(step, blame === "account" ? await endUnsent(step, submission, thrown) : submission, outage);
  }
  if (fault_count < MOST_FAULTS) {
    context.log.warn({ err: thrown, submission_id, fault_count }, "parsing service at fault");
    const { retryAfterMs } = thrown;
    const { random } = context;
    const delayMs = backoffMs({ retryCount: fault_count, baseMs: FAULT_DELAY_MS, retryAfterMs, random });
    return waitForProvider(step, submission, { delayMs, result: "fault", error: thrown });
  }
  if (isReplaceable(step, thrown)) return fallBack(step, submission, { error: thrown });
  throw thrown;
}

/** Answers what to wait for where the provider is out of order, for every document. */
async function tellOutage(
  step: Step,
  { fault_count }: Submission,
  { error, blame }: { error: AppError; blame: LlamaParseBlame },
): Promise<Deferral | undefined> {
  // Being too fast is no fault, unless waiting for about a minute did not help.
  const isTooFast = blame === "pace" && fault_count >= MOST_FAULTS;
  if (blame !== "provider" && blame !== "account" && !isTooFast) return undefined;
  const { probe_id } = step;
  return tellFault(callerOf(step), { error, probe_id, isLasting: blame !== "provider", message: OUT_OF_ORDER });
}

const OUT_OF_ORDER = "The parsing service failed several times in a row. Documents wait until it works again.";

/** Nobody knows for how long an account stays shut: what was not sent sets nothing aside until then. */
async function endUnsent(step: Step, submission: Submission, { code }: AppError): Promise<Submission | undefined> {
  const { submission_id, provider_job_id, settles_in_ms } = submission;
  if (provider_job_id !== null || settles_in_ms !== null) return submission;
  await step.context.save((tx) => endSubmission(tx, { submission_id, outcome: "failed", code, is_free: true }));
  return undefined;
}
