import {
  type Claimer,
  createClaimer,
  type Database,
  migrate,
  openSession,
  promoteDueJobs,
  type Queryable,
} from "@pipeline/db";
import { openBenchDatabase } from "../postgres/bench-database.ts";
import type { BenchServer } from "../postgres/bench-server.ts";
import { percentile, spreadOf } from "../report/statistics.ts";
import { formatSpread, formatTable } from "../report/table.ts";
import { runInterleaved } from "./run-interleaved.ts";

export const CLAIM_CASES = ["almost empty", "many deferred", "long backlog", "pinned xmin"] as const;
export type ClaimCase = (typeof CLAIM_CASES)[number];

export interface ClaimTimeRun {
  case: ClaimCase;
  run: number;
  /** Rows beyond the few that are claimed: deferred, queued, or claimed since the pin. */
  rows: number;
  p50_ms: number;
  p95_ms: number;
  /** The look for due jobs that goes before each claim. */
  promote_p50_ms: number;
}

export interface ClaimTimePlan {
  runs: number;
  /** Rows that must not matter. */
  rows: number;
  /** Claims made under a snapshot that stays open. */
  pinnedClaims: number;
  onRun: (line: string) => void;
}

/** Jobs that one measured claim takes, and claims of one run. */
const CLAIM_SIZE = 10;
const CLAIMS_PER_RUN = 100;
/** Statements are cut after a minute, so many rows go in piece by piece. */
const ROWS_PER_STATEMENT = 50_000;
const SESSION_MS = 24 * 3_600_000;

interface PreparedCase {
  name: ClaimCase;
  rows: number;
  database: Database;
  claimer: Claimer;
  session_id: string;
  /** Ends what the case holds open. */
  release: () => Promise<void>;
}

/**
 * How long a claim takes next to rows that it must not look at. The databases are made once, because each takes
 * minutes; the runs take turns over them.
 */
export async function measureClaimTime(server: BenchServer, plan: ClaimTimePlan): Promise<ClaimTimeRun[]> {
  const cases: PreparedCase[] = [];
  try {
    for (const name of CLAIM_CASES) cases.push(await prepareCase(server, { name, plan }));
    return await runInterleaved(cases, plan.runs, async (each, run) => {
      const measured = await measureClaims(each, run);
      plan.onRun(`claims, ${each.name}, run ${run}: p50 ${measured.p50_ms.toFixed(2)} ms`);
      return measured;
    });
  } finally {
    for (const { release } of cases) await release();
  }
}

async function prepareCase(
  server: BenchServer,
  { name, plan }: { name: ClaimCase; plan: ClaimTimePlan },
): Promise<PreparedCase> {
  const url = await server.createDatabase();
  const database = openBenchDatabase(url, { poolSize: 2 });
  await migrate(database);
  const claimed = plan.runs * CLAIM_SIZE * CLAIMS_PER_RUN;
  const rows = rowsOf(name, plan);
  if (name === "many deferred") await insertJobs(database, { count: rows, isDeferred: true });
  const queued = claimed + (name === "many deferred" ? 0 : rows);
  await insertJobs(database, { count: queued, isDeferred: false });
  await database.run("vacuum analyze");
  await database.run("checkpoint");
  const session_id = await openBenchSession(database);
  const claimer = createClaimer(database);
  const unpin = name === "pinned xmin" ? await pinSnapshot(url) : async () => undefined;
  if (name === "pinned xmin") await claimMany(claimer, { session_id, count: rows });
  const release = async (): Promise<void> => {
    await unpin();
    await database.close();
    await server.dropDatabase(url);
  };
  return { name, rows, database, claimer, session_id, release };
}

function rowsOf(name: ClaimCase, plan: ClaimTimePlan): number {
  switch (name) {
    case "almost empty":
      return 0;
    case "many deferred":
    case "long backlog":
      return plan.rows;
    case "pinned xmin":
      return plan.pinnedClaims;
  }
}

/** Complete rows, so that fewer triggers fill them in one by one. */
async function insertJobs(db: Queryable, { count, isDeferred }: { count: number; isDeferred: boolean }): Promise<void> {
  const state = isDeferred
    ? `'retryable', now() + interval '1 day' + i * interval '1 ms', '{"stage":"embed","code":"bench","message":"","retryable":true,"at":""}'::jsonb`
    : "'queued', null, null";
  for (let start = 0; start < count; start += ROWS_PER_STATEMENT) {
    await db.run(
      `with made as (
         insert into ${db.schema}.documents
           (document_id, user_id, filename, mime, bytes_len, file_sha256, raw_path, generation_count)
         select gen_random_uuid(), md5('user ' || i % 1000)::uuid, 'letter.txt', 'text/plain', 12,
           '${isDeferred ? "deferred" : "queued"} ' || i, 'somewhere', 1
         from generate_series($1::int + 1, $2::int) i
         returning document_id, user_id
       ), numbered as (
         select document_id, user_id, $1::int + row_number() over () as i from made
       )
       insert into ${db.schema}.upload_jobs
         (document_id, user_id, correlation_id, generation, turn, state, due_at, last_error)
       select document_id, user_id, 'bench', 1, i, ${state} from numbered`,
      [start, Math.min(count, start + ROWS_PER_STATEMENT)],
    );
  }
}

/** A long read, as a report or a dump makes it: nothing that dies from now on can be cleaned away. */
async function pinSnapshot(url: string): Promise<() => Promise<void>> {
  const reader = openBenchDatabase(url, { poolSize: 1 });
  const pinned = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  const reading = reader.transaction(async (tx) => {
    await tx.run("set transaction isolation level repeatable read");
    await tx.run("set local idle_in_transaction_session_timeout = 0");
    await tx.run(`select 1 from ${tx.schema}.upload_jobs limit 1`);
    pinned.resolve();
    await released.promise;
  });
  await Promise.race([pinned.promise, reading]);
  return async () => {
    released.resolve();
    await reading;
    await reader.close();
  };
}

export function openBenchSession(db: Queryable): Promise<string> {
  return openSession(db, { worker_name: "bench", hostname: "localhost", pid: process.pid, leaseMs: SESSION_MS });
}

async function claimMany(
  claimer: Claimer,
  { session_id, count }: { session_id: string; count: number },
): Promise<void> {
  for (let claimed = 0; claimed < count;) {
    const claims = await claimer.claim({ session_id, limit: Math.min(1_000, count - claimed) });
    if (claims.length === 0) throw new Error("The queue ran dry before its time.");
    claimed += claims.length;
  }
}

async function measureClaims(
  { name, rows, database, claimer, session_id }: PreparedCase,
  run: number,
): Promise<ClaimTimeRun> {
  const claimMs: number[] = [];
  const promoteMs: number[] = [];
  for (let index = 0; index < CLAIMS_PER_RUN; index += 1) {
    promoteMs.push(await timed(() => promoteDueJobs(database)));
    claimMs.push(await timed(() => claimMany(claimer, { session_id, count: CLAIM_SIZE })));
  }
  return {
    case: name,
    run,
    rows,
    p50_ms: percentile(claimMs, 50),
    p95_ms: percentile(claimMs, 95),
    promote_p50_ms: percentile(promoteMs, 50),
  };
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}

export function formatClaimTime(runs: readonly ClaimTimeRun[]): string {
  const byCase = Map.groupBy(runs, (run) => run.case);
  const emptyMs = spreadOf((byCase.get("almost empty") ?? []).map((run) => run.p50_ms)).median;
  const rows = [...byCase].map(([name, own]) => [
    name,
    (own[0]?.rows ?? 0).toLocaleString("en-US"),
    formatSpread(own.map((run) => run.p50_ms)),
    formatSpread(own.map((run) => run.p95_ms)),
    (spreadOf(own.map((run) => run.p50_ms)).median / emptyMs).toFixed(2),
    formatSpread(own.map((run) => run.promote_p50_ms)),
  ]);
  const head = ["queue", "other rows", "p50 ms", "p95 ms", "ratio to empty", "promote p50 ms"];
  return formatTable(`Claims of ${CLAIM_SIZE} jobs, ours`, [head, ...rows]);
}
