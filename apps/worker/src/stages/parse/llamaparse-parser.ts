import type { LlamaParseSetup } from "@pipeline/composition";
import { findSubmission, type Submission } from "@pipeline/db";
import type { Parser, StageOutcome } from "../../stage-handler.ts";
import { type Admission, askAdmission, endProbe } from "../provider-circuit.ts";
import { answerFault } from "./answer-fault.ts";
import { callerOf, type Step, SUBMIT_AGAIN } from "./llamaparse-step.ts";
import { lookAtJob } from "./look-at-job.ts";
import { beginSubmission, submit } from "./submit.ts";
import { waitOutOutage } from "./wait-out-outage.ts";
import { withdrawSubmissions } from "./withdraw-submissions.ts";

/**
 * Has documents read by LlamaParse. No worker waits for it: each call of `parse` does what can be done at once, and parks
 * the job. What is stored says what that is:
 * - nothing: a submission is stored, then sent;
 * - a submission without the provider's id: it may have been sent, so it is looked for there before it is sent again;
 * - the provider's id: its job is asked about, and its result stored.
 * While the provider is out of order none of it is asked, but by one step that tries whether it works again.
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

type Request = Omit<Step, "probe_id">;

async function takeStep(request: Request): Promise<StageOutcome | typeof SUBMIT_AGAIN> {
  const found = await findSubmission(request.context.database, request.job);
  const { probe_id, outage } = await admit(request, found);
  const step = { ...request, probe_id };
  if (outage !== undefined && probe_id === undefined) return waitOutOutage(step, found, outage);
  try {
    return await advance(step, found);
  } finally {
    await endProbe(callerOf(step), probe_id);
  }
}

/** Longer than a call takes; an upload on a slow line may be given up as the probe, and another step tries as well. */
const PROBE_MS = 120_000;

async function admit(request: Request, found: Submission | undefined): Promise<Admission> {
  const caller = callerOf(request);
  const admission = await askAdmission(caller, PROBE_MS);
  const isSent = found !== undefined && found.provider_job_id !== null;
  if (!isSent || admission.outage?.reason.code !== "llamaparse_quota_exhausted") return admission;
  // What was sent before the credits were used up is paid and served, which says nothing of new ones.
  await endProbe(caller, admission.probe_id);
  return { probe_id: undefined, outage: undefined };
}

async function advance(step: Step, found: Submission | undefined): Promise<StageOutcome | typeof SUBMIT_AGAIN> {
  const submission = found ?? (await beginSubmission(step));
  try {
    const { provider_job_id } = submission;
    if (provider_job_id === null) return await submit(step, submission, { isNew: found === undefined });
    return await lookAtJob(step, { ...submission, provider_job_id });
  } catch (thrown) {
    return await answerFault(step, submission, thrown);
  }
}
