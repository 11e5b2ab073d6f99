import { failJob, type Claim, type Queryable, parkJob, releaseJob, type Stage, type WaitingFor } from "@pipeline/db";
import { AppError, toAppError } from "@pipeline/runtime";
import { backoffMs } from "./backoff.ts";
import type { WorkerOptions } from "./options.ts";
import { retryDatabase } from "./retry-database.ts";

/** How a claim ended, seen from the worker that had it. */
export type ClaimEnd =
  | "completed"
  | "waiting"
  | "retry_scheduled"
  | "dead_lettered"
  | "released"
  /** Somebody else acted on the job; nothing was written. */
  | "lost"
  /** The database could not be told; the rescue will find the job. */
  | "abandoned";

export interface EndDependencies {
  database: Queryable;
  options: WorkerOptions;
  random: () => number;
}

/** A stopping worker has no time for more: whatever it cannot give back is rescued once its session has ended. */
const RELEASE_FOR_MS = 2_000;

export async function failClaim(
  claim: Claim,
  failure: { stage: Stage; error: AppError },
  { database, options, random }: EndDependencies,
): Promise<ClaimEnd> {
  const { stage, error } = failure;
  const delayMs = backoffMs({
    retryCount: claim.retry_count,
    baseMs: options.retryBaseDelayMs,
    retryAfterMs: error.retryAfterMs,
    random,
  });
  const state = await retryDatabase(
    () => failJob(database, claim, { stage, error, maxRetries: options.maxRetries, delayMs }),
    // Later than a lease the job may be another's.
    { forMs: options.leaseMs, random },
  );
  if (state === undefined) return "lost";
  return state === "deadletter" ? "dead_lettered" : "retry_scheduled";
}

export async function parkClaim(
  claim: Claim,
  wait: { waiting_for: WaitingFor; delayMs: number },
  { database, options, random }: EndDependencies,
): Promise<ClaimEnd> {
  const state = await retryDatabase(() => parkJob(database, claim, wait), { forMs: options.leaseMs, random });
  return state === undefined ? "lost" : "waiting";
}

export async function releaseClaim(claim: Claim, { database, random }: EndDependencies): Promise<ClaimEnd> {
  const state = await retryDatabase(() => releaseJob(database, claim), { forMs: RELEASE_FOR_MS, random });
  return state === undefined ? "lost" : "released";
}

/**
 * What a stage threw, as the failure to record. An unexpected error may be a bug or a passing condition. It is retried
 * like one that ends the process would be; the original stays as the cause for the log.
 */
export function failureOf(thrown: unknown): AppError {
  const error = toAppError(thrown);
  if (error.kind !== "internal") return error;
  return new AppError({ kind: "transient", code: error.code, message: error.message, cause: thrown });
}
