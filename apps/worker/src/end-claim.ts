import {
  type Claim,
  type Database,
  failJob,
  parkJob,
  type Queryable,
  releaseJob,
  type Stage,
  type State,
  type WaitingFor,
} from "@pipeline/db";
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
  database: Database;
  options: WorkerOptions;
  random: () => number;
}

/** Rows that go with the end of a claim, and are not stored if it was lost. */
export type EndWrite = (tx: Queryable) => Promise<void>;

/** A stopping worker has no time for more: whatever it cannot give back is rescued once its session has ended. */
const RELEASE_FOR_MS = 2_000;

export async function failClaim(
  claim: Claim,
  failure: { stage: Stage; error: AppError; write?: EndWrite | undefined },
  { database, options, random }: EndDependencies,
): Promise<ClaimEnd> {
  const { stage, error, write } = failure;
  const delayMs = backoffMs({
    retryCount: claim.retry_count,
    baseMs: options.retryBaseDelayMs,
    retryAfterMs: error.retryAfterMs,
    random,
  });
  const state = await retryDatabase(
    () => end(database, write, (db) => failJob(db, claim, { stage, error, maxRetries: options.maxRetries, delayMs })),
    // Later than a lease the job may be another's.
    { forMs: options.leaseMs, random },
  );
  if (state === undefined) return "lost";
  return state === "deadletter" ? "dead_lettered" : "retry_scheduled";
}

export async function parkClaim(
  claim: Claim,
  { waiting_for, delayMs, write }: { waiting_for: WaitingFor; delayMs: number; write?: EndWrite | undefined },
  { database, options, random }: EndDependencies,
): Promise<ClaimEnd> {
  const state = await retryDatabase(() => end(database, write, (db) => parkJob(db, claim, { waiting_for, delayMs })), {
    forMs: options.leaseMs,
    random,
  });
  return state === undefined ? "lost" : "waiting";
}

export async function releaseClaim(claim: Claim, { database, random }: EndDependencies): Promise<ClaimEnd> {
  const state = await retryDatabase(() => releaseJob(database, claim), { forMs: RELEASE_FOR_MS, random });
  return state === undefined ? "lost" : "released";
}

async function end(
  database: Database,
  write: EndWrite | undefined,
  endClaim: (db: Queryable) => Promise<State | undefined>,
): Promise<State | undefined> {
  if (write === undefined) return endClaim(database);
  return database.transaction(async (tx) => {
    const state = await endClaim(tx);
    if (state !== undefined) await write(tx);
    return state;
  });
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
