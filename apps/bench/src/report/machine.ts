import { availableParallelism, cpus, loadavg, totalmem } from "node:os";

export interface Machine {
  cores: number;
  cpu: string;
  memory_gib: number;
  node: string;
  postgres: string;
  /** Load averages over one minute, before and after: others on the machine show here. */
  load_before: number;
  load_after: number;
}

export function describeMachine(input: { postgres: string; loadBefore: number }): Machine {
  return {
    cores: availableParallelism(),
    cpu: cpus()[0]?.model ?? "unknown",
    memory_gib: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    postgres: input.postgres,
    load_before: input.loadBefore,
    load_after: loadNow(),
  };
}

export function loadNow(): number {
  return Number((loadavg()[0] ?? 0).toFixed(2));
}

export function describeMachineInWords(machine: Machine): string {
  const { cores, cpu, memory_gib, node, postgres, load_before, load_after } = machine;
  return `${cores} cores (${cpu}), ${memory_gib} GiB, Node ${node}, Postgres ${postgres}; load ${load_before} before, ${load_after} after.`;
}
