import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Database, migrate } from "@pipeline/db";
import { openBenchDatabase } from "../postgres/bench-database.ts";
import type { BenchServer } from "../postgres/bench-server.ts";
import { startChild } from "../queue/child.ts";
import { describeMachine, loadNow, type Machine } from "../report/machine.ts";
import { type ApiProcess, startApi } from "./api-process.ts";
import { type BenchUser, createUsers } from "./bench-users.ts";
import { type ForeignRun, formatForeign, measureForeign } from "./foreign.ts";
import { formatMemory, measureMemory, type MemorySample } from "./memory.ts";
import { listeningMessage } from "./messages.ts";
import { formatMixed, measureMixed, type MixedRun } from "./mixed.ts";
import { formatOutages, measureOutages, type OutageRun } from "./outage.ts";
import { formatThroughput, measureThroughput, type ThroughputRun } from "./throughput.ts";

export interface ApiBenchPlan {
  runs: number;
  /** Of each run of a scenario. */
  seconds: number;
  /** Of the memory's watch; 0: none. */
  minutes: number;
  print: (text: string) => void;
}

export interface ApiBenchReport {
  started_at: string;
  machine: Machine;
  throughput: ThroughputRun[];
  mixed: MixedRun[];
  foreign: ForeignRun[];
  memory: MemorySample[];
  outages: OutageRun[];
}

/** What the scenarios are run on: the API, the floor, and users of the API. */
export interface ApiBench {
  server: BenchServer;
  database: Database;
  api: ApiProcess;
  floorUrl: string;
  users: readonly BenchUser[];
}

/** Both servers have as many connections. */
const POOL_SIZE = 10;
const USERS = 20;

/** The API beside a bare server on the same pool, under an even load, and over time. */
export async function runApiBench(server: BenchServer, plan: ApiBenchPlan): Promise<ApiBenchReport> {
  const started_at = new Date().toISOString();
  const loadBefore = loadNow();
  const url = await server.createDatabase();
  const directory = await mkdtemp(join(tmpdir(), "pipeline-bench-"));
  const database = openBenchDatabase(url, { poolSize: 2 });
  const stops: (() => Promise<void> | void)[] = [];
  try {
    await migrate(database);
    await createFloorTable(database);
    const floor = startChild(new URL("floor-process.ts", import.meta.url), { url, poolSize: POOL_SIZE });
    stops.push(() => floor.kill());
    const { port } = await floor.receive(listeningMessage);
    const api = await startApi({ url, directory, poolSize: POOL_SIZE });
    stops.push(() => api.stop());
    const bench = {
      server,
      database,
      api,
      floorUrl: `http://127.0.0.1:${port}`,
      users: await createUsers(database, USERS),
    };
    const measured = await runScenarios(bench, plan);
    return { started_at, machine: describeMachine({ postgres: server.version, loadBefore }), ...measured };
  } finally {
    for (const stop of stops) await stop();
    await database.close();
    await server.dropDatabase(url);
    await rm(directory, { recursive: true, force: true });
  }
}

async function runScenarios(bench: ApiBench, plan: ApiBenchPlan) {
  const throughput = await measureThroughput(bench, plan);
  plan.print(formatThroughput(throughput));
  const mixed = await measureMixed(bench, plan);
  plan.print(formatMixed(mixed));
  const foreign = await measureForeign(bench, plan);
  plan.print(formatForeign(foreign));
  const memory = await measureMemory(bench, plan);
  if (memory.length > 0) plan.print(formatMemory(memory));
  const outages = await measureOutages(bench, plan);
  if (outages.length > 0) plan.print(formatOutages(outages));
  return { throughput, mixed, foreign, memory, outages };
}

/** As plain as a table can be, beside the document, job and event that an upload writes. */
async function createFloorTable(database: Database): Promise<void> {
  await database.run(
    `create table ${database.schema}.bench_floor (id uuid primary key, filename text not null, mime text not null,
       bytes_len bigint not null, sha256 text not null, created_at timestamptz not null default now())`,
  );
}
