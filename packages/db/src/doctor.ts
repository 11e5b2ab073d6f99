import { AppError } from "@pipeline/runtime";
import { z } from "zod";
import type { Database } from "./database.ts";
import type { Check, CheckSettings } from "./doctor/check.ts";
import { CONTENT_CHECKS } from "./doctor/content-checks.ts";
import { HISTORY_CHECKS } from "./doctor/history-checks.ts";
import { PRESENCE_CHECKS } from "./doctor/presence-checks.ts";
import { QUEUE_CHECKS } from "./doctor/queue-checks.ts";
import { one, type Queryable } from "./queryable.ts";

const offenderRow = z.object({ id: z.string(), why: z.string() });

/** What one check found. */
export interface Diagnosis {
  /** Its name in docs/invariants.md; several checks may look after one invariant. */
  invariant: string;
  /** What must hold. */
  title: string;
  /** A warning is worth a look, but can be a healthy system under load or at rest. */
  severity: "error" | "warning";
  /** The first of the faults by id: of a job, document, chunk or user, as `why` makes plain. */
  offending: z.infer<typeof offenderRow>[];
  /** How many faults there are, named or not. */
  total: number;
  /** Jobs or documents beyond the bound, which were not read. */
  unexamined: number;
}

export interface DiagnoseOptions extends Partial<CheckSettings> {
  /** Invariants to check; all by default. */
  only?: readonly string[];
  /** Most faults that a diagnosis names. */
  limit?: number;
  /** Longest time for one check. */
  timeoutMs?: number;
}

/**
 * Looks for violations of every invariant that a database can show. A database is read in one snapshot, so that all checks
 * see one moment; inside a transaction they see what it sees, and no time limit is set. With a million jobs and nine
 * million events a check took 2 s of a core at most and all of them 25 s; unbounded, those of events took 20 s each.
 * Throws `check_timeout` when a check takes too long, `unknown_invariant` for a name that no check has, `cap_missing` for one
 * that cannot be checked without `maxInHandPerUser`.
 */
export async function diagnose(db: Queryable | Database, options: DiagnoseOptions = {}): Promise<Diagnosis[]> {
  const plan = { checks: chooseChecks(options), settings: { ...DEFAULTS, ...options } };
  if (!("snapshot" in db)) return runChecks(db, plan);
  return db.snapshot(async (tx) => {
    // One core only: it should not be felt, and parallel plans share memory of which containers have 64 MB.
    await tx.run(
      `select set_config('statement_timeout', $1, true), set_config('work_mem', '64MB', true),
         set_config('max_parallel_workers_per_gather', '0', true), set_config('jit', 'off', true)`,
      [String(plan.settings.timeoutMs)],
    );
    return runChecks(tx, plan);
  });
}

/** Every check, in the order in which they are told. */
export const CHECKS: readonly Check[] = [...PRESENCE_CHECKS, ...QUEUE_CHECKS, ...HISTORY_CHECKS, ...CONTENT_CHECKS];

const DEFAULTS = {
  /** WORKER_MAX_RETRIES and the worker's own limits, where nobody says otherwise. */
  maxRetries: 3,
  maxCrashes: 3,
  maxInHandPerUser: undefined,
  overdueMs: 5 * 60_000,
  /** A dead worker's jobs run elsewhere within this. */
  staleLeaseMs: 20_000,
  /** The longest back-off, 5 min, on top of the longest Retry-After that is heeded, 1 min. */
  longestRetryMs: 6 * 60_000,
  /** Probes for an upload are at most 1 min apart; nothing waits longer unseen. */
  longestWaitMs: 60 * 60_000,
  recentJobs: 20_000,
  recentDocuments: 10_000,
  limit: 20,
  /** Below the connection's own limit, which would end it. */
  timeoutMs: 50_000,
} satisfies DiagnoseOptions;

interface Plan {
  checks: readonly Check[];
  settings: CheckSettings & { limit: number };
}

function chooseChecks({ only, maxInHandPerUser }: DiagnoseOptions): readonly Check[] {
  const unknown = only?.find((name) => CHECKS.every((check) => check.invariant !== name));
  if (unknown !== undefined) {
    throw new AppError({ kind: "invalid", code: "unknown_invariant", message: `No check is named "${unknown}".` });
  }
  const chosen = CHECKS.filter(
    ({ invariant, needsCap }) =>
      (only?.includes(invariant) ?? true) && (needsCap !== true || maxInHandPerUser !== undefined),
  );
  // Left out without a word, it would pass for checked.
  const unchecked = only?.find((name) => chosen.every((check) => check.invariant !== name));
  if (unchecked !== undefined) {
    const message = `${unchecked} can be checked only against a cap: --max-in-hand-per-user or WORKER_MAX_JOBS_PER_USER.`;
    throw new AppError({ kind: "invalid", code: "cap_missing", message });
  }
  return chosen;
}

async function runChecks(db: Queryable, { checks, settings }: Plan): Promise<Diagnosis[]> {
  const counts = await countRows(db);
  const diagnoses: Diagnosis[] = [];
  // One after the other: they share a connection, and a doctor should not be felt.
  for (const check of checks) diagnoses.push(await runCheck(db, { check, settings, counts }));
  return diagnoses;
}

const countsRow = z.object({ jobs: z.number(), documents: z.number() });

function countRows(db: Queryable): Promise<z.infer<typeof countsRow>> {
  return one(
    db,
    countsRow,
    `select (select count(*) from ${db.schema}.upload_jobs) as jobs, (select count(*) from ${db.schema}.documents) as documents`,
  );
}

const foundRow = offenderRow.extend({ total: z.number() });

async function runCheck(
  db: Queryable,
  run: { check: Check; settings: Plan["settings"]; counts: z.infer<typeof countsRow> },
): Promise<Diagnosis> {
  const { check, settings, counts } = run;
  const { invariant, title, severity } = check;
  const parameters = check.parameters(settings);
  const found = await db
    .many(
      foundRow,
      `select id, why, count(*) over () as total from (${check.sql(db.schema)}) faults
       order by id, why limit $${parameters.length + 1}`,
      [...parameters, settings.limit],
    )
    .catch((error: unknown) => {
      throw nameTimeout(error, check);
    });
  return {
    invariant,
    title,
    severity,
    offending: found.map(({ id, why }) => ({ id, why })),
    total: found[0]?.total ?? 0,
    unexamined: countUnexamined(check, { settings, counts }),
  };
}

/** Readers lock nothing and never conflict, so a statement that should be tried again ran out of time. */
function nameTimeout(error: unknown, { invariant, title }: Check): unknown {
  if (!(error instanceof AppError) || error.code !== "database_conflict") return error;
  return new AppError({
    kind: "transient",
    code: "check_timeout",
    message: `Check ${invariant} "${title}" took too long.`,
    cause: error,
  });
}

function countUnexamined(
  { bound }: Check,
  { settings, counts }: { settings: CheckSettings; counts: z.infer<typeof countsRow> },
): number {
  if (bound === undefined) return 0;
  const limit = bound === "jobs" ? settings.recentJobs : settings.recentDocuments;
  return Math.max(0, counts[bound] - (limit ?? counts[bound]));
}
