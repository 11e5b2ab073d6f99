import type { BenchServer } from "../postgres/bench-server.ts";
import { describeMachine, loadNow, type Machine } from "../report/machine.ts";
import { SYSTEM_NAMES, type SystemName } from "../systems/index.ts";
import { type ClaimTimeRun, formatClaimTime, measureClaimTime } from "./claim-time.ts";
import { formatDrain, measureDrain, type DrainRun, type Workload } from "./drain.ts";
import { type FairnessRun, formatFairness, measureFairness } from "./fairness.ts";
import { formatLatency, measureLatency, type LatencyRun } from "./latency.ts";
import { formatRescueTime, measureRescueTime, type RescueRun } from "./rescue-time.ts";
import { formatStaleWrites, measureStaleWrites, type StaleWritesRun } from "./stale-writes.ts";

/** The first two compare systems; the others are about ours alone. */
export const SCENARIO_NAMES = ["drain", "latency", "claims", "rescue", "stale-writes", "fairness"] as const;
export type ScenarioName = (typeof SCENARIO_NAMES)[number];

export interface QueueBenchOptions {
  scenarios: readonly ScenarioName[];
  systems: readonly SystemName[];
  runs: number;
  /** Documents of a nine-stage drain. */
  docs: number;
  isQuick: boolean;
  print: (text: string) => void;
}

interface Measured {
  drain?: DrainRun[];
  latency?: LatencyRun[];
  claims?: ClaimTimeRun[];
  rescue?: RescueRun[];
  stale_writes?: StaleWritesRun;
  fairness?: FairnessRun;
}

export interface QueueBenchReport extends Measured {
  started_at: string;
  machine: Machine;
}

const WORKLOADS: readonly Workload[] = [
  { stages: 9, handlerMs: 0 },
  { stages: 3, handlerMs: 0 },
  { stages: 1, handlerMs: 0 },
  { stages: 9, handlerMs: 20 },
];

/** How much is measured. `QUICK` shows that everything works, and nothing else. */
const FULL = {
  workloads: WORKLOADS,
  perSecond: 50,
  seconds: 12,
  graceMs: 5_000,
  rows: 1_000_000,
  pinnedClaims: 100_000,
  noisyFiles: 10_000,
};
const QUICK = {
  workloads: WORKLOADS.slice(2, 3),
  perSecond: 50,
  seconds: 1,
  graceMs: 60_000,
  rows: 2_000,
  pinnedClaims: 1_000,
  noisyFiles: 500,
};
const STALE_WRITES = 1_000;

/** Runs the scenarios one after the other, prints a table after each, and answers every run. */
export async function runQueueBench(server: BenchServer, options: QueueBenchOptions): Promise<QueueBenchReport> {
  const started_at = new Date().toISOString();
  const loadBefore = loadNow();
  const measured: Measured = {};
  for (const scenario of options.scenarios) Object.assign(measured, await runScenario(server, { scenario, options }));
  return { started_at, machine: describeMachine({ postgres: server.version, loadBefore }), ...measured };
}

async function runScenario(
  server: BenchServer,
  { scenario, options }: { scenario: ScenarioName; options: QueueBenchOptions },
): Promise<Measured> {
  const { systems, runs, docs, isQuick, print } = options;
  const plan = { ...(isQuick ? QUICK : FULL), systems, runs, docs, onRun: print };
  switch (scenario) {
    case "drain": {
      const drain = await measureDrain(server, plan);
      print(formatDrain(drain));
      return { drain };
    }
    case "latency": {
      const latency = await measureLatency(server, plan);
      print(formatLatency(latency));
      return { latency };
    }
    case "claims": {
      const claims = await measureClaimTime(server, plan);
      print(formatClaimTime(claims));
      return { claims };
    }
    case "rescue": {
      const rescue = await measureRescueTime(server, plan);
      print(formatRescueTime(rescue));
      return { rescue };
    }
    case "stale-writes": {
      const stale_writes = await measureStaleWrites(server, STALE_WRITES);
      print(formatStaleWrites(stale_writes));
      return { stale_writes };
    }
    case "fairness": {
      const fairness = await measureFairness(server, plan.noisyFiles);
      print(formatFairness(fairness));
      return { fairness };
    }
  }
}

/** `only` names scenarios, systems or both; where it names none of a kind, all of that kind are meant. */
export function chooseScope(only: readonly string[]): {
  scenarios: readonly ScenarioName[];
  systems: readonly SystemName[];
} {
  const scenarios = SCENARIO_NAMES.filter((name) => only.includes(name));
  const systems = SYSTEM_NAMES.filter((name) => only.includes(name));
  const unknown = only.filter((name) => ![...SCENARIO_NAMES, ...SYSTEM_NAMES].some((known) => known === name));
  if (unknown.length > 0) throw new Error(`There is no scenario or system ${unknown.join(", ")}.`);
  return {
    scenarios: scenarios.length > 0 ? scenarios : SCENARIO_NAMES,
    systems: systems.length > 0 ? systems : SYSTEM_NAMES,
  };
}
