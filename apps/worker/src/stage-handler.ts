import type { Budgets, Claim, Database, ProgressCounters, Queryable, WaitingFor } from "@pipeline/db";
import type { Embedder } from "@pipeline/embedding";
import type { ParseLimits } from "@pipeline/parsing";
import type { AppError, Logger } from "@pipeline/runtime";
import type { ObjectStore } from "@pipeline/storage";
import type { VerifiedFile } from "./claim-file.ts";

/**
 * One stage's work. Idempotent: after a crash it runs again. It never writes status: the runner makes the transition,
 * in one transaction with the outcome's `write`.
 */
export type StageHandler = (job: Claim, context: StageContext) => Promise<StageOutcome>;

/** How documents become pages. */
export interface Parser {
  /** One step towards the pages: they, or what to wait for. Idempotent, as every stage. */
  parse: StageHandler;
  /** Ends at a provider what nobody waits for any more. Called again and again, by every worker. */
  tidy?: (run: { database: Database; log: Logger; signal: AbortSignal }) => Promise<void>;
}

export interface StageContext {
  /** Aborted at the stage's deadline, when the claim is lost and when the worker stops; results are dropped then. */
  signal: AbortSignal;
  /** Carries job_id, document_id, correlation_id and stage. */
  log: Logger;
  /**
   * For reading, and for statements that may run twice; it waits out short outages. The job's rows are stored by `save` and by
   * the outcome.
   */
  database: Queryable;
  storage: ObjectStore;
  embedder: Embedder;
  parser: Parser;
  parseLimits: ParseLimits | undefined;
  paid: PaidSettings;
  /** The document's bytes, downloaded and verified once per claim. Errors: see claim-file.ts. */
  file: () => Promise<VerifiedFile>;
  /** Stores rows before the stage is over, in a transaction that holds the job. `write` must be idempotent. */
  save: (write: (tx: Queryable) => Promise<void>) => Promise<void>;
  /** Shown to the user; throttled, so that any call may be left out. */
  progress: (counters: ProgressCounters) => void;
  /** A failure of this attempt that could be retried will not be. */
  isLastAttempt: boolean;
  /** 0 up to, not including, 1; spreads waits. */
  random: () => number;
}

/** How stages deal with providers that are paid. */
export interface PaidSettings {
  budgets: Budgets;
  /** Longest wait for a provider's limits, or after its fault, with the job in hand. */
  longestWaitMs: number;
  /** Wait after a provider's first fault, doubling with each. */
  retryBaseDelayMs: number;
}

export type StageOutcome = Advance | Wait | Failed;

export interface Advance {
  kind: "advance";
  /** Merged into the job's progress. */
  progress?: ProgressCounters;
  /** Kept with the event: no text of the document. */
  detail?: Record<string, unknown>;
  /** Stores the stage's rows in the transition's transaction; whatever it throws undoes both. */
  write?: (tx: Queryable) => Promise<void>;
}

export interface Wait {
  kind: "wait";
  waiting_for: WaitingFor;
  delayMs: number;
  /** Stores rows in the transaction that parks the job. */
  write?: (tx: Queryable) => Promise<void>;
}

/** As if the stage had thrown, with rows to store in the transaction that records the failure. */
export interface Failed {
  kind: "fail";
  error: AppError;
  write: (tx: Queryable) => Promise<void>;
}
