import type { LlamaParseSetup } from "@pipeline/composition";
import { type Claim, type Look, recordLook, type Submission } from "@pipeline/db";
import { type CallOptions, USD_PER_CREDIT } from "@pipeline/llamaparse";
import type { StageContext, Wait } from "../../stage-handler.ts";
import type { Caller } from "../provider-circuit.ts";

/** One call of the parse stage. */
export interface Step {
  job: Claim;
  context: StageContext;
  setup: LlamaParseSetup;
  /** Set where this step tries whether the provider works again. */
  probe_id: string | undefined;
}

/** A submission that the provider has answered. */
export type Submitted = Submission & { provider_job_id: string };

/** The provider forgot the submission, so that there is none any more. */
export const SUBMIT_AGAIN = "submit again";

export const PROVIDER = "llamaparse";

/** Who asks, as the circuit knows them. */
export function callerOf({ context }: Pick<Step, "context">): Caller {
  return { context, provider: PROVIDER };
}

export function usdOf(credits: number): number {
  return credits * USD_PER_CREDIT;
}

export function callOptions({ job, context }: Step): CallOptions {
  return { signal: context.signal, correlationId: job.correlation_id };
}

/** Parks the job until the next look; a callback that came meanwhile wakes it. */
export function waitForProvider(
  { job }: Step,
  submission: Submission,
  wait: { delayMs: number; result: Look["result"] },
): Wait {
  const { job_id } = job;
  const { submission_id, callback_count } = submission;
  return {
    kind: "wait",
    waiting_for: "parser",
    delayMs: wait.delayMs,
    write: (tx) => recordLook(tx, { job_id, submission_id, callback_count, result: wait.result }),
  };
}
