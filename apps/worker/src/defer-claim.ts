import { type Claim, deferJob, type Stage } from "@pipeline/db";
import type { Deferral } from "./deferral.ts";
import type { ClaimEnd, EndDependencies } from "./end-claim.ts";
import { retryDatabase } from "./retry-database.ts";

/** Whatever is in the way may be gone sooner than was thought: a budget was raised, an account was filled. */
const LONGEST_DELAY_MS = 5 * 60_000;
const SHORTEST_DELAY_MS = 500;
/** Jobs that were deferred together do not come back together; below the delays that the doctor finds too long. */
const LONGEST_SPREAD_MS = 30_000;

export async function deferClaim(
  claim: Claim,
  { stage, deferral }: { stage: Stage; deferral: Deferral },
  { database, options, random }: EndDependencies,
): Promise<ClaimEnd> {
  const waitMs = Math.min(LONGEST_DELAY_MS, Math.max(SHORTEST_DELAY_MS, deferral.delayMs));
  const delayMs = waitMs + random() * Math.min(LONGEST_SPREAD_MS, waitMs / 4);
  const isOurs = await retryDatabase(() => deferJob(database, claim, { stage, error: deferral.reason, delayMs }), {
    // Later than a lease the job may be another's.
    forMs: options.leaseMs,
    random,
  });
  return isOurs ? "retry_scheduled" : "lost";
}
