import { openBenchDatabase } from "../postgres/bench-database.ts";
import type { BenchServer } from "../postgres/bench-server.ts";
import { hotPercent, readCounters, readWalPosition } from "../postgres/counters.ts";
import { formatSpread, formatTable } from "../report/table.ts";
import { DRAIN_SHARE, loadSystem, type SystemName } from "../systems/index.ts";
import { startChild } from "./child.ts";
import { readyMessage, type WorkerInput, workerReport } from "./messages.ts";
import { runInterleaved } from "./run-interleaved.ts";

export interface Workload {
  stages: number;
  handlerMs: number;
}

export interface DrainRun extends Workload {
  system: SystemName;
  run: number;
  docs: number;
  /** Fewer than `docs` where the time limit came first. */
  docs_done: number;
  seconds: number;
  docs_per_s: number;
  transitions_per_s: number;
  wal_bytes_per_doc: number;
  commits_per_doc: number;
  /** Of all updates of all tables. */
  hot_percent: number | undefined;
  /** Ours: of the updates of upload_jobs, claims and ends included. */
  job_hot_percent: number | undefined;
  dead_tuples: number;
}

export interface DrainPlan {
  systems: readonly SystemName[];
  workloads: readonly Workload[];
  runs: number;
  /** Documents of nine stages for the fastest systems. */
  docs: number;
  onRun: (line: string) => void;
}

/** A run that is not done by then is reported as far as it came. */
const LIMIT_MS = 15_000;
const SHUTDOWN_MS = 20_000;
const WORKER = new URL("worker-process.ts", import.meta.url);
/** Fewer stages per document make more documents, so that a run stays long enough to be measured. */
const MORE_DOCS: Readonly<Record<number, number>> = { 1: 3, 3: 2 };

interface Case extends Workload {
  system: SystemName;
  docs: number;
  template: string;
}

/** How fast a backlog is worked off. */
export async function measureDrain(server: BenchServer, plan: DrainPlan): Promise<DrainRun[]> {
  const cases: Case[] = [];
  for (const workload of plan.workloads) {
    for (const system of plan.systems) cases.push(await prepareCase(server, { plan, workload, system }));
  }
  const runs = await runInterleaved(cases, plan.runs, async (each, run) => {
    const measured = await runDrain(server, each, run);
    const { system, stages, handlerMs, transitions_per_s } = measured;
    plan.onRun(
      `drain ${system}, ${stages} × ${handlerMs} ms, run ${run}: ${Math.round(transitions_per_s)} transitions/s`,
    );
    return measured;
  });
  for (const { template } of cases) await server.dropDatabase(template);
  return runs;
}

async function prepareCase(
  server: BenchServer,
  { plan, workload, system: name }: { plan: DrainPlan; workload: Workload; system: SystemName },
): Promise<Case> {
  const docs = Math.max(10, Math.round(plan.docs * DRAIN_SHARE[name] * (MORE_DOCS[workload.stages] ?? 1)));
  const system = await loadSystem(name);
  const template = await server.createDatabase();
  await system.prepare(template);
  await system.fill(template, { docs, stages: workload.stages });
  const database = openBenchDatabase(template, { poolSize: 1 });
  await database.run("vacuum analyze");
  await database.close();
  return { ...workload, system: name, docs, template };
}

async function runDrain(server: BenchServer, { template, ...each }: Case, run: number): Promise<DrainRun> {
  const url = await server.createDatabase(template);
  const database = openBenchDatabase(url, { poolSize: 1 });
  const walBefore = await readWalPosition(database);
  const input: WorkerInput = { ...each, url, mode: "drain", limitMs: LIMIT_MS };
  const child = startChild(WORKER, input);
  try {
    await child.receive(readyMessage);
    const report = await child.receive(workerReport);
    const walAfter = await readWalPosition(database);
    await child.ended(SHUTDOWN_MS);
    const seconds = (report.finishedAt - report.startedAt) / 1_000;
    const done = Math.max(1, report.doneCount);
    const counters = await readCounters(database);
    return {
      ...each,
      run,
      docs_done: report.doneCount,
      seconds,
      docs_per_s: report.doneCount / seconds,
      transitions_per_s: (report.doneCount * each.stages) / seconds,
      wal_bytes_per_doc: (walAfter - walBefore) / done,
      commits_per_doc: counters.commits / done,
      hot_percent: hotPercent(counters.tables),
      job_hot_percent: hotPercent(counters.tables.filter((table) => table.relname === "upload_jobs")),
      dead_tuples: counters.tables.reduce((sum, table) => sum + table.dead_tuples, 0),
    };
  } finally {
    child.kill();
    await database.close();
    await server.dropDatabase(url);
  }
}

export function formatDrain(runs: readonly DrainRun[]): string {
  const workloads = Map.groupBy(runs, (run) => `${run.stages} stage(s), handlers of ${run.handlerMs} ms`);
  const head = [
    "system",
    "docs",
    "docs/s",
    "transitions/s",
    "WAL B/doc",
    "commits/doc",
    "HOT %",
    "jobs HOT %",
    "dead tuples",
  ];
  const tables = [...workloads].map(([workload, of]) => {
    const rows = [...Map.groupBy(of, (run) => run.system)].map(([system, own]) => [
      system,
      formatSpread(own.map((run) => run.docs_done)),
      formatSpread(own.map((run) => run.docs_per_s)),
      formatSpread(own.map((run) => run.transitions_per_s)),
      formatSpread(own.map((run) => run.wal_bytes_per_doc)),
      formatSpread(own.map((run) => run.commits_per_doc)),
      formatSpread(own.map((run) => run.hot_percent)),
      formatSpread(own.map((run) => run.job_hot_percent)),
      formatSpread(own.map((run) => run.dead_tuples)),
    ]);
    return formatTable(`Drain of a backlog: ${workload}`, [head, ...rows]);
  });
  return tables.join("\n");
}
