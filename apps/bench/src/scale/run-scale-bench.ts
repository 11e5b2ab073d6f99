import { join } from "node:path";
import type { BenchServer } from "../postgres/bench-server.ts";
import { describeMachine, loadNow, type Machine } from "../report/machine.ts";
import { formatSpread, formatTable } from "../report/table.ts";
import { runScale, type ScalePlan, type ScaleRun } from "./scale-run.ts";

export interface ScaleOptions {
  runs: number;
  /** Of each run. */
  documents: number;
  workers: readonly number[];
  print: (line: string) => void;
}

export interface ScaleReport {
  machine: Machine;
  /** One worker, one kind of file. */
  costs: ScaleRun[];
  /** All kinds of files in turn, by more and more workers. */
  throughput: ScaleRun[];
}

const SAMPLES = join(import.meta.dirname, "../../../../samples");
const FILES = ["benefits-booklet.pdf", "home-policy.docx", "claims-guide.html", "renewal-letter.md"] as const;

/** Real sample documents through real worker processes, with the parser and the embedder of this machine. */
export async function runScaleBench(server: BenchServer, options: ScaleOptions): Promise<ScaleReport> {
  const { runs, documents, workers, print } = options;
  const loadBefore = loadNow();
  const files = FILES.map((name) => join(SAMPLES, name));
  const single = FILES.map((name, index): ScalePlan => ({
    name,
    files: files.slice(index, index + 1),
    documents,
    workers: 1,
  }));
  const mixed = workers.map((count): ScalePlan => ({ name: "all in turn", files, documents, workers: count }));
  const report: ScaleReport = {
    machine: describeMachine({ postgres: server.version, loadBefore }),
    costs: [],
    throughput: [],
  };
  for (let run = 1; run <= runs; run += 1) {
    for (const plan of single) report.costs.push(await tell(await runScale(server, plan), print));
    for (const plan of mixed) report.throughput.push(await tell(await runScale(server, plan), print));
  }
  report.machine = describeMachine({ postgres: server.version, loadBefore });
  print(formatCosts(report.costs));
  print(formatThroughput(report.throughput));
  return report;
}

async function tell(run: ScaleRun, print: ScaleOptions["print"]): Promise<ScaleRun> {
  const { name, workers, documents_per_second: rate, worker_cpu_ms: cpu } = run;
  print(`${name}, ${workers} workers: ${rate.toFixed(1)} documents/s, ${cpu.toFixed(0)} ms of a worker's CPU each`);
  return run;
}

export function formatCosts(costs: readonly ScaleRun[]): string {
  const rows = [...new Set(costs.map(({ name }) => name))].map((name) => {
    const own = costs.filter((run) => run.name === name);
    const cell = (read: (run: ScaleRun) => number | undefined): string => formatSpread(own.map(read));
    return [
      name,
      cell(({ chunks }) => chunks),
      cell(({ worker_cpu_ms: cpu }) => cpu),
      cell(({ postgres_cpu_ms: cpu }) => cpu),
      cell(({ wal_bytes: bytes }) => bytes / 1_000),
      cell(({ database_bytes: bytes }) => bytes / 1_000),
      cell(({ object_bytes: bytes }) => bytes / 1_000),
    ];
  });
  const head = ["document", "chunks", "worker CPU, ms", "Postgres CPU, ms", "WAL, kB", "database, kB", "file, kB"];
  return formatTable("Cost of a document, one worker", [head, ...rows]);
}

export function formatThroughput(runs: readonly ScaleRun[]): string {
  const rows = [...new Set(runs.map(({ workers }) => workers))].map((workers) => {
    const own = runs.filter((run) => run.workers === workers);
    const cell = (read: (run: ScaleRun) => number | undefined): string => formatSpread(own.map(read));
    return [
      String(workers),
      cell(({ documents_per_second: rate }) => rate),
      cell(({ worker_cpu_ms: cpu }) => cpu),
      cell(({ postgres_cpu_ms: cpu }) => cpu),
      cell(({ connections_total: connections }) => connections),
    ];
  });
  const head = ["workers", "documents/s", "worker CPU, ms each", "Postgres CPU, ms each", "connections"];
  return formatTable("Throughput, all sample documents in turn", [head, ...rows]);
}
