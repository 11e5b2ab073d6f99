import {
  closeAbandoned,
  type Database,
  finishWithdrawal,
  recordLostSpend,
  releaseBudget,
  takeWithdrawals,
  type Withdrawal,
} from "@pipeline/db";
import type { LlamaParseClient } from "@pipeline/llamaparse";
import type { Logger } from "@pipeline/runtime";

/** Per round; what is left comes with the next one. */
const MOST_AT_ONCE = 20;

/**
 * Tells the provider to stop what nobody waits for any more: jobs that were cancelled or deleted, that took too long, and
 * those that the local parser stood in for. It is tried several times, and what came of it stands in provider_jobs.
 */
export async function withdrawSubmissions(
  client: LlamaParseClient,
  { database, log, signal }: { database: Database; log: Logger; signal: AbortSignal },
): Promise<void> {
  for (const { submission_id, was_sent } of await closeAbandoned(database, MOST_AT_ONCE)) {
    // Should this process end here, it stays set aside, which today's budgets count like spent.
    await (was_sent ? recordLostSpend(database, submission_id) : releaseBudget(database, submission_id));
  }
  for (const withdrawal of await takeWithdrawals(database, MOST_AT_ONCE)) {
    const { submission_id, is_last_try } = withdrawal;
    const is_told = await tell(client, withdrawal, { log, signal });
    if (is_told || is_last_try) await finishWithdrawal(database, { submission_id, is_told });
  }
}

/** False: it was not reached. */
async function tell(
  client: LlamaParseClient,
  { submission_id, provider_job_id, created_at }: Withdrawal,
  { log, signal }: { log: Logger; signal: AbortSignal },
): Promise<boolean> {
  try {
    const sent = { submissionId: submission_id, since: created_at };
    const id = provider_job_id ?? (await client.findJob(sent, { signal }))?.id;
    if (id !== undefined) await client.cancel(id, { signal });
    log.info({ submission_id, was_sent: id !== undefined }, "submission withdrawn");
    return true;
  } catch (error) {
    signal.throwIfAborted();
    log.warn({ err: error, submission_id }, "submission not withdrawn");
    return false;
  }
}
