import type { Parameter } from "../queryable.ts";
import { TERMINAL_STATES } from "../pipeline.ts";

/** One thing that must hold in the database, and the statement that finds where it does not. */
export interface Check {
  /** Its name in docs/invariants.md; several checks may look after one invariant. */
  invariant: string;
  /** What must hold. */
  title: string;
  /** A warning is worth a look, but can be a healthy system under load or at rest. */
  severity: "error" | "warning";
  /** What `settings` may bound it to: so many jobs or documents, those that changed last. Undefined: it reads them all. */
  bound?: "jobs" | "documents";
  /** Left out unless `maxInHandPerUser` is set. */
  needsCap?: true;
  /** Answers one row per fault, `id` (of a job, document or chunk) and `why`, both text. */
  sql: (schema: string) => string;
  parameters: (settings: CheckSettings) => readonly Parameter[];
}

/** What the checks compare with, and how far they look. */
export interface CheckSettings {
  /** Retries of a stage; WORKER_MAX_RETRIES. */
  maxRetries: number;
  /** Workers that one stage of a job may cost. */
  maxCrashes: number;
  /** Jobs of one user in hand at once; undefined where no cap is set, and then nothing is checked. */
  maxInHandPerUser: number | undefined;
  /** How late a due or queued job may be while workers live. */
  overdueMs: number;
  /** How long after the end of its session or lease a job may still count as held. */
  staleLeaseMs: number;
  /** Longest time between a failure and its next attempt. */
  longestRetryMs: number;
  /** Longest time between two looks at what a job waits for. */
  longestWaitMs: number;
  /** The jobs changed last whose events are read; null for all. */
  recentJobs: number | null;
  /** The documents changed last whose pages and chunks are read; null for all. */
  recentDocuments: number | null;
}

/** Of a job that is not at its end. */
export const IS_ACTIVE = `state not in (${TERMINAL_STATES.map((state) => `'${state}'`).join(", ")})`;

/** A worker that has been there for `$n` milliseconds, and so had the time to act. */
export function hasWorkerFor(schema: string, parameter: string): string {
  return `exists (select from ${schema}.worker_sessions
    where ended_at is null and expires_at > now() and started_at < now() - ${parameter}::float8 * interval '1 ms')`;
}
