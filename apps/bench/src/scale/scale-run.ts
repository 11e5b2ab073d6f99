import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { createNotifier, type Database, migrate, pauseClaims, readClock, resumeClaims } from "@pipeline/db";
import { z } from "zod";
import { openBenchDatabase } from "../postgres/bench-database.ts";
import type { BenchServer } from "../postgres/bench-server.ts";
import { readWalPosition } from "../postgres/counters.ts";
import { readProcessCpu } from "./process-cpu.ts";
import { openSharedStore, submitFile } from "./submit-file.ts";

export interface ScalePlan {
  /** What the run is of, such as a file's name. */
  name: string;
  /** Taken in turn. */
  files: readonly string[];
  documents: number;
  workers: number;
}

/** What one drain of real documents by real worker processes cost; per document unless the name says otherwise. */
export interface ScaleRun {
  name: string;
  workers: number;
  documents: number;
  documents_per_second: number;
  worker_cpu_ms: number;
  /** Undefined where the server is not a container of ours. */
  postgres_cpu_ms: number | undefined;
  wal_bytes: number;
  database_bytes: number;
  object_bytes: number;
  chunks: number;
  /** Of all worker processes together, at the most. */
  connections_total: number;
}

const WORKER = join(import.meta.dirname, "../../../worker/src/main.ts");
const LIMIT_MS = 15 * 60_000;
/** Seldom: the server's time is what is measured. */
const LOOK_MS = 500;

/** Everything is queued and every worker alive before the clock starts. */
export async function runScale(server: BenchServer, plan: ScalePlan): Promise<ScaleRun> {
  const url = await server.createDatabase();
  const database = openBenchDatabase(url, { poolSize: 2 });
  const directory = await mkdtemp(join(tmpdir(), "pipeline-scale-"));
  const workers: ChildProcess[] = [];
  try {
    await migrate(database);
    await pauseClaims(database, { paused_by: "bench", reason: "the run has not begun" });
    const store = await openSharedStore(directory);
    for (let count = 0; count < plan.documents; count += 1) {
      await submitFile({ database, store }, plan.files[count % plan.files.length] ?? "");
    }
    for (let count = 0; count < plan.workers; count += 1) workers.push(startWorker(url, directory));
    await until(workers, async () => (await countSessions(database)) === plan.workers);
    return await measure({ server, database, plan, workers });
  } finally {
    await Promise.all(workers.map(endWorker));
    await database.close();
    await server.dropDatabase(url);
    await rm(directory, { recursive: true, force: true });
  }
}

interface Measured {
  server: BenchServer;
  database: Database;
  plan: ScalePlan;
  workers: readonly ChildProcess[];
}

async function measure({ server, database, plan, workers }: Measured): Promise<ScaleRun> {
  const before = await readGauges({ server, database, workers });
  const startedAt = await readClock(database);
  await resumeClaims(database);
  const notifier = createNotifier(database, { onError: () => undefined });
  notifier.wake();
  let connections_total = 0;
  await until(workers, async () => {
    connections_total = Math.max(connections_total, await countConnections(database));
    return (await countUnfinished(database)) === 0;
  });
  const seconds = ((await readLastEnd(database)) - startedAt.getTime()) / 1_000;
  await notifier.close();
  const after = await readGauges({ server, database, workers });
  const { documents, name } = plan;
  const per = (total: number): number => total / documents;
  const postgres =
    after.postgres === undefined || before.postgres === undefined ? undefined : after.postgres - before.postgres;
  const objects = await Promise.all(plan.files.map((file) => stat(file)));
  return {
    name,
    workers: plan.workers,
    documents,
    documents_per_second: documents / seconds,
    worker_cpu_ms: per(1_000 * (after.worker - before.worker)),
    postgres_cpu_ms: postgres === undefined ? undefined : per(1_000 * postgres),
    wal_bytes: per(after.wal - before.wal),
    database_bytes: per(after.size - before.size),
    object_bytes: objects.reduce((sum, { size }) => sum + size, 0) / objects.length,
    chunks: per(await countChunks(database)),
    connections_total,
  };
}

async function readGauges({ server, database, workers }: Omit<Measured, "plan">) {
  const cpus = await Promise.all(workers.map(({ pid = 0 }) => readProcessCpu(pid)));
  return {
    worker: cpus.reduce((sum, cpu) => sum + cpu, 0),
    postgres: await server.readCpu?.(),
    wal: await readWalPosition(database),
    size: await readSize(database),
  };
}

function startWorker(url: string, directory: string): ChildProcess {
  return spawn(process.execPath, [WORKER], {
    env: { DATABASE_URL: url, DATA_DIR: directory, LOG_LEVEL: "error" },
    stdio: ["ignore", "ignore", "inherit"],
  });
}

async function endWorker(worker: ChildProcess): Promise<void> {
  if (worker.exitCode !== null || worker.signalCode !== null) return;
  worker.kill("SIGKILL");
  await once(worker, "exit");
}

const countRow = z.object({ count: z.number() });

async function readSize(database: Database): Promise<number> {
  const [row] = await database.many(countRow, "select pg_database_size(current_database()) as count");
  return row?.count ?? 0;
}

async function countConnections(database: Database): Promise<number> {
  return database.run(
    "select from pg_stat_activity where datname = current_database() and application_name like 'upload-pipeline worker%'",
  );
}

function countSessions(database: Database): Promise<number> {
  return database.run(`select from ${database.schema}.worker_sessions where ended_at is null and expires_at > now()`);
}

/** Throws where a document failed: what it cost would mean nothing. */
async function countUnfinished(database: Database): Promise<number> {
  const failed = await database.run(
    `select from ${database.schema}.upload_jobs where state in ('deadletter', 'retryable')`,
  );
  if (failed > 0) throw new Error(`${failed} documents failed.`);
  return database.run(`select from ${database.schema}.upload_jobs where state <> 'done'`);
}

/** Milliseconds of the database's clock. */
async function readLastEnd(database: Database): Promise<number> {
  const [row] = await database.many(
    z.object({ last_at: z.date() }),
    `select max(finished_at) as last_at from ${database.schema}.upload_jobs`,
  );
  if (row === undefined) throw new Error("No job has ended.");
  return row.last_at.getTime();
}

async function countChunks(database: Database): Promise<number> {
  const [row] = await database.many(countRow, `select count(*) as count from ${database.schema}.document_chunks`);
  return row?.count ?? 0;
}

async function until(workers: readonly ChildProcess[], isSo: () => Promise<boolean>): Promise<void> {
  const startedAt = performance.now();
  while (!(await isSo())) {
    if (workers.some(({ exitCode }) => exitCode !== null)) throw new Error("A worker ended.");
    if (performance.now() - startedAt > LIMIT_MS)
      throw new Error("The workers did not get there in a quarter of an hour.");
    await delay(LOOK_MS);
  }
}
