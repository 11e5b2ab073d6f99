import { randomBytes, randomUUID } from "node:crypto";
import {
  beginAttempt,
  endAttempt,
  openSubmission,
  type Queryable,
  recordRefusal,
  storeProviderJob,
  type Submission,
} from "@pipeline/db";
import {
  CREDITS_PER_PAGE,
  isEnded,
  judgeLlamaParseFailure,
  judgeSubmission,
  type ProviderJob,
  type WebhookTarget,
} from "@pipeline/llamaparse";
import { AppError } from "@pipeline/runtime";
import type { VerifiedFile } from "../../claim-file.ts";
import type { StageOutcome } from "../../stage-handler.ts";
import { tellWorking } from "../provider-circuit.ts";
import { setAside } from "../set-aside.ts";
import { expectPages } from "./expect-pages.ts";
import { failSubmission } from "./fail-submission.ts";
import {
  callerOf,
  callOptions,
  PROVIDER,
  type Step,
  type SUBMIT_AGAIN,
  usdOf,
  waitForProvider,
} from "./llamaparse-step.ts";
import { FIRST_LOOK_MS, lookAtJob } from "./look-at-job.ts";

/**
 * Stores what is about to be sent, once the file is known to be the promised one, and sets aside what it may cost. Throws
 * `too_many_pages`, `budget_too_small`, and Deferral where a budget of today has no room; what has been sent is finished
 * whatever the budgets say.
 */
export async function beginSubmission(step: Step): Promise<Submission> {
  const { job, context, setup } = step;
  const pages = await expectPages(await context.file(), context);
  const { tier, version } = setup;
  const { job_id, user_id } = job;
  const submission_id = randomUUID();
  const settles_in_ms = longestAttemptMs(step);
  const webhook_secret = randomBytes(32).toString("base64url");
  const opened = { submission_id, tier, version, webhook_secret, settles_in_ms };
  const cost_usd = usdOf(pages * CREDITS_PER_PAGE[tier]);
  const work = { provider: PROVIDER, model: tier, user_id, reservation_id: submission_id, cost_usd };
  await context.save(async (tx) => {
    await openSubmission(tx, { ...opened, job_id, provider: PROVIDER });
    await setAside(tx, work, context);
  });
  return {
    ...opened,
    provider_job_id: null,
    created_at: new Date(),
    attempt_age_ms: 0,
    submitted_age_ms: null,
    missed_age_ms: null,
    fault_count: 0,
    callback_count: 0,
  };
}

/**
 * What was sent may become a job although its answer was lost: the provider may be busy with it when the worker that sent
 * it has given up. So soon after, that it is not found proves nothing.
 */
const SETTLING_MS = 30_000;

/** When the attempt has settled of which nobody tells the end: its worker dies, or stops in the middle of it. */
function longestAttemptMs({ job, setup }: Step): number {
  return setup.client.longestSubmitMs(job.bytes_len) + SETTLING_MS;
}

/** Sends the submission, unless the provider has it already, and stores the provider's id before anything else. */
export async function submit(
  step: Step,
  submission: Submission,
  { isNew }: { isNew: boolean },
): Promise<StageOutcome | typeof SUBMIT_AGAIN> {
  const { context, setup } = step;
  if (!isNew) {
    const { submission_id, created_at, settles_in_ms } = submission;
    const query = { submissionId: submission_id, since: created_at };
    const found = await setup.client.findJob(query, callOptions(step));
    if (found !== undefined) return keep(step, submission, found);
    const delayMs = Math.min(SETTLING_MS, settles_in_ms ?? 0);
    if (delayMs > 0) return waitForProvider(step, submission, { delayMs, result: "undecided" });
  }
  const file = await context.file();
  if (!isNew) {
    const { submission_id } = submission;
    await context.save((tx) => beginAttempt(tx, { submission_id, settles_in_ms: longestAttemptMs(step) }));
  }
  const sent = await send(step, submission, file);
  if (!(sent instanceof AppError)) return keep(step, submission, sent);
  await tellWorking(callerOf(step), step.probe_id);
  return failSubmission(step, submission, { error: sent, isFree: true });
}

/** Answers with an error where the provider refuses this document. Throws what says nothing of the document. */
async function send(step: Step, submission: Submission, file: VerifiedFile): Promise<ProviderJob | AppError> {
  const { context, setup } = step;
  const webhook = webhookFor(step, submission);
  try {
    return await setup.client.submit(
      { ...file, submissionId: submission.submission_id, ...(webhook === undefined ? {} : { webhook }) },
      callOptions(step),
    );
  } catch (error) {
    context.signal.throwIfAborted();
    if (!(error instanceof AppError)) throw error;
    if (judgeLlamaParseFailure(error) === "none") return error;
    await context.save((tx) => recordFailure(tx, submission, error));
    throw error;
  }
}

/** From its end on, not from its beginning, an attempt has so long to become a job. */
function recordFailure(tx: Queryable, { submission_id }: Submission, error: AppError): Promise<void> {
  const verdict = judgeSubmission(error);
  if (verdict === "refused") return recordRefusal(tx, { submission_id });
  return endAttempt(tx, { submission_id, settles_in_ms: SETTLING_MS, has_failed: verdict === "failed" });
}

function webhookFor({ job, setup }: Step, submission: Submission): WebhookTarget | undefined {
  const url = setup.webhookUrl?.(job.job_id);
  return url === undefined ? undefined : { url, signingSecret: submission.webhook_secret };
}

async function keep(
  step: Step,
  submission: Submission,
  provided: ProviderJob,
): Promise<StageOutcome | typeof SUBMIT_AGAIN> {
  const stored = { submission_id: submission.submission_id, provider_job_id: provided.id };
  await step.context.save((tx) => storeProviderJob(tx, stored));
  await tellWorking(callerOf(step), step.probe_id);
  const submitted = { ...submission, ...stored, submitted_age_ms: 0, fault_count: 0 };
  if (isEnded(provided)) return lookAtJob(step, submitted);
  return waitForProvider(step, submitted, { delayMs: FIRST_LOOK_MS, result: "unfinished" });
}
