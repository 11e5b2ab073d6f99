import type { LlamaParseSetup } from "@pipeline/composition";
import { findSubmission } from "@pipeline/db";
import type { Parser, StageOutcome } from "../../stage-handler.ts";
import { answerFault } from "./answer-fault.ts";
import { type Step, SUBMIT_AGAIN } from "./llamaparse-step.ts";
import { lookAtJob } from "./look-at-job.ts";
import { beginSubmission, submit } from "./submit.ts";
import { withdrawSubmissions } from "./withdraw-submissions.ts";

/**
 * Has documents read by LlamaParse. No worker waits for it: each call of `parse` does what can be done at once, and parks
 * the job. What is stored says what that is:
 * - nothing: a submission is stored, then sent;
 * - a submission without the provider's id: it may have been sent, so it is looked for there before it is sent again;
 * - the provider's id: its job is asked about, and its result stored.
 */
export function createLlamaParseParser(setup: LlamaParseSetup): Parser {
  return {
    parse: async (job, context) => {
      for (;;) {
        const outcome = await takeStep({ job, context, setup });
        // At most a few times: see `resubmit`.
        if (outcome !== SUBMIT_AGAIN) return outcome;
      }
    },
    tidy: (run) => withdrawSubmissions(setup.client, run),
  };
}

async function takeStep(step: Step): Promise<StageOutcome | typeof SUBMIT_AGAIN> {
  const found = await findSubmission(step.context.database, step.job);
  const submission = found ?? (await beginSubmission(step));
  try {
    const { provider_job_id } = submission;
    if (provider_job_id === null) return await submit(step, submission, { isNew: found === undefined });
    return await lookAtJob(step, { ...submission, provider_job_id });
  } catch (thrown) {
    return answerFault(step, submission, { thrown });
  }
}
