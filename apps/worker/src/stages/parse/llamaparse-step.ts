import type { LlamaParseSetup } from "@pipeline/composition";
import { type Claim, type Look, recordLook, type Submission, tellWait } from "@pipeline/db";
import { type CallOptions, USD_PER_CREDIT } from "@pipeline/llamaparse";
import type { AppError } from "@pipeline/runtime";
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

interface ProviderWait {
  delayMs: number;
  result: Look["result"];
  /** What the owner is told that the job waits for; undefined: for the provider, as is to be expected. */
  error?: AppError | undefined;
}

/** Parks the job until the next look; a callback that came meanwhile wakes it. */
export function waitForProvider(
  { job }: Step,
  { submission_id, callback_count }: Submission,
  { delayMs, result, error }: ProviderWait,
): Wait {
  const { job_id } = job;
  return {
    kind: "wait",
    waiting_for: "parser",
    delayMs,
    write: async (tx) => {
      if (error !== undefined) await tellWait(tx, { job_id, stage: "parse", error });
      await recordLook(tx, { job_id, submission_id, callback_count, result });
    },
  };
}
