import {
  advanceJobs,
  type Claim,
  claimJobs,
  type Database,
  failJob,
  migrate,
  parkJob,
  releaseJob,
  reportProgress,
  rescueJobs,
} from "@pipeline/db";
import { AppError } from "@pipeline/runtime";
import { z } from "zod";
import { openBenchDatabase } from "../postgres/bench-database.ts";
import type { BenchServer } from "../postgres/bench-server.ts";
import { formatTable } from "../report/table.ts";
import { createPipelineSystem } from "../systems/pipeline.ts";
import { openBenchSession } from "./claim-time.ts";

export interface StaleWritesRun {
  attempts: number;
  accepted: number;
  /** Jobs whose row differs from before the attempts. */
  changed: number;
}

/**
 * A worker whose session is over and whose jobs another has claimed since tries to checkpoint, fail, release, park and
 * report all the same.
 */
export async function measureStaleWrites(server: BenchServer, attempts: number): Promise<StaleWritesRun> {
  const url = await server.createDatabase();
  const database = openBenchDatabase(url, { poolSize: 4 });
  try {
    await migrate(database);
    await createPipelineSystem().fill(url, { docs: attempts, stages: 9 });
    const stale = await claimAll(database, attempts);
    // Ended and not expired: of jobs whose worker died a claim takes one at a time.
    await database.run(`update ${database.schema}.worker_sessions set ended_at = now()`);
    await rescueJobs(database, { maxCrashes: 3, limit: attempts });
    await claimAll(database, attempts);
    const before = await readRows(database);
    let accepted = 0;
    for (const [index, claim] of stale.entries())
      if (await writeStale(database, { claim, kind: index % 5 })) accepted += 1;
    const after = await readRows(database);
    const changed = [...before].filter(([id, row]) => after.get(id) !== row).length;
    return { attempts: stale.length, accepted, changed };
  } finally {
    await database.close();
    await server.dropDatabase(url);
  }
}

async function claimAll(database: Database, count: number): Promise<Claim[]> {
  const claims = await claimJobs(database, { session_id: await openBenchSession(database), limit: count });
  if (claims.length !== count) throw new Error(`${claims.length} of ${count} jobs were claimable.`);
  return claims;
}

/** True where the database took it. */
async function writeStale(database: Database, { claim, kind }: { claim: Claim; kind: number }): Promise<boolean> {
  const error = new AppError({ kind: "transient", code: "bench", message: "A stale worker's failure." });
  switch (kind) {
    case 0: {
      const step = { from: "uploaded", to: "parsing", progress: {}, detail: {} } as const;
      return (await advanceJobs(database, [{ ...claim, ...step }])).size > 0;
    }
    case 1:
      return (await failJob(database, claim, { stage: "verify", error, maxRetries: 3, delayMs: 1_000 })) !== undefined;
    case 2:
      return (await releaseJob(database, claim)) !== undefined;
    case 3:
      return (await parkJob(database, claim, { waiting_for: "upload", delayMs: 1_000 })) !== undefined;
    default:
      return reportProgress(database, claim, { pages_done: 1 });
  }
}

async function readRows(database: Database): Promise<Map<string, string>> {
  const rows = await database.many(
    z.object({ job_id: z.string(), row: z.string() }),
    `select job_id, j::text as row from ${database.schema}.upload_jobs j`,
  );
  return new Map(rows.map(({ job_id, row }) => [job_id, row]));
}

export function formatStaleWrites({ attempts, accepted, changed }: StaleWritesRun): string {
  return formatTable("Writes of a worker that lost its jobs, ours", [
    ["attempts", "accepted", "jobs changed"],
    [attempts, accepted, changed].map(String),
  ]);
}
