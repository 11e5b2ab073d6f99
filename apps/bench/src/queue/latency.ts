import { openBenchDatabase } from "../postgres/bench-database.ts";
import type { BenchServer } from "../postgres/bench-server.ts";
import { readCounters, readWalPosition } from "../postgres/counters.ts";
import { percentile } from "../report/statistics.ts";
import { formatSpread, formatTable } from "../report/table.ts";
import { loadSystem, type SystemName } from "../systems/index.ts";
import { startChild } from "./child.ts";
import { readyMessage, sentMessage, type WorkerReport, workerReport } from "./messages.ts";
import { runInterleaved } from "./run-interleaved.ts";

export interface LatencyRun {
  system: SystemName;
  run: number;
  docs: number;
  /** Fewer than `docs` where the system could not keep up until the time limit. */
  docs_done: number;
  /** Milliseconds from before the enqueueing call to the end of the last stage, over the documents that were done. */
  p50_ms: number | undefined;
  p95_ms: number | undefined;
  p99_ms: number | undefined;
  wal_bytes_per_doc: number;
  commits_per_doc: number;
}

export interface LatencyPlan {
  systems: readonly SystemName[];
  runs: number;
  perSecond: number;
  /** How long documents are measured, after the warm-up. */
  seconds: number;
  /** How long after the last document was enqueued the rest may take. */
  graceMs: number;
  onRun: (line: string) => void;
}

const STAGE_COUNT = 9;
/** Documents of this long at the start are not counted: compilation and caches would be measured. */
const WARM_UP_SECONDS = 2;
const SHUTDOWN_MS = 20_000;
const WORKER = new URL("worker-process.ts", import.meta.url);
const PRODUCER = new URL("producer-process.ts", import.meta.url);

interface Case {
  system: SystemName;
  template: string;
}

/** Enqueue to complete at an even rate, nine stages that do nothing. */
export async function measureLatency(server: BenchServer, plan: LatencyPlan): Promise<LatencyRun[]> {
  const cases: Case[] = [];
  for (const system of plan.systems) {
    const template = await server.createDatabase();
    await (await loadSystem(system)).prepare(template);
    cases.push({ system, template });
  }
  const runs = await runInterleaved(cases, plan.runs, async (each, run) => {
    const measured = await runLatency(server, { plan, each, run });
    plan.onRun(`latency ${measured.system}, run ${run}: p50 ${measured.p50_ms?.toFixed(1) ?? "–"} ms`);
    return measured;
  });
  for (const { template } of cases) await server.dropDatabase(template);
  return runs;
}

async function runLatency(
  server: BenchServer,
  { plan, each, run }: { plan: LatencyPlan; each: Case; run: number },
): Promise<LatencyRun> {
  const { system } = each;
  const url = await server.createDatabase(each.template);
  const database = openBenchDatabase(url, { poolSize: 1 });
  const warmUp = plan.perSecond * WARM_UP_SECONDS;
  const docs = warmUp + plan.perSecond * plan.seconds;
  const common = { system, url, docs, stages: STAGE_COUNT };
  const producer = startChild(PRODUCER, { ...common, perSecond: plan.perSecond });
  const limitMs = 1_000 * (WARM_UP_SECONDS + plan.seconds) + plan.graceMs;
  let worker: ReturnType<typeof startChild> | undefined;
  try {
    await producer.receive(readyMessage);
    worker = startChild(WORKER, { ...common, mode: "latency", handlerMs: 0, limitMs });
    await worker.receive(readyMessage);
    const walBefore = await readWalPosition(database);
    producer.go();
    const { sent } = await producer.receive(sentMessage);
    const report = await worker.receive(workerReport);
    const walAfter = await readWalPosition(database);
    await Promise.all([producer.ended(SHUTDOWN_MS), worker.ended(SHUTDOWN_MS)]);
    const { commits } = await readCounters(database);
    const done = Math.max(1, report.doneCount);
    return {
      system,
      run,
      docs: docs - warmUp,
      ...latencies(sent.slice(warmUp), report),
      wal_bytes_per_doc: (walAfter - walBefore) / done,
      commits_per_doc: commits / done,
    };
  } finally {
    producer.kill();
    worker?.kill();
    await database.close();
    await server.dropDatabase(url);
  }
}

function latencies(
  sent: readonly [string, number][],
  { completions }: WorkerReport,
): Pick<LatencyRun, "docs_done" | "p50_ms" | "p95_ms" | "p99_ms"> {
  const completedAt = new Map(completions);
  const times = sent.flatMap(([id, sentAt]) => {
    const at = completedAt.get(id);
    return at === undefined ? [] : [at - sentAt];
  });
  const at = (percent: number): number | undefined => (times.length > 0 ? percentile(times, percent) : undefined);
  return { docs_done: times.length, p50_ms: at(50), p95_ms: at(95), p99_ms: at(99) };
}

export function formatLatency(runs: readonly LatencyRun[]): string {
  const rows = [...Map.groupBy(runs, (run) => run.system)].map(([system, own]) => [
    system,
    `${formatSpread(own.map((run) => run.docs_done))} of ${own[0]?.docs ?? 0}`,
    formatSpread(own.map((run) => run.p50_ms)),
    formatSpread(own.map((run) => run.p95_ms)),
    formatSpread(own.map((run) => run.p99_ms)),
    formatSpread(own.map((run) => run.wal_bytes_per_doc)),
    formatSpread(own.map((run) => run.commits_per_doc)),
  ]);
  const head = ["system", "docs done", "p50 ms", "p95 ms", "p99 ms", "WAL B/doc", "commits/doc"];
  return formatTable("Enqueue to complete at an even rate, nine stages that do nothing", [head, ...rows]);
}
