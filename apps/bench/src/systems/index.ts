import type { QueueSystem } from "./queue-system.ts";

/** Every queue that is compared, ours first; a name ending in `-tuned` has the best settings that were found. */
export const SYSTEM_NAMES = [
  "pipeline",
  "graphile-worker",
  "graphile-worker-tuned",
  "pg-boss",
  "pg-boss-tuned",
  "dbos",
  "dbos-tuned",
] as const;
export type SystemName = (typeof SYSTEM_NAMES)[number];

/** Loads only what is asked for: a process of one system must not carry the others' code. */
export function loadSystem(name: SystemName): Promise<QueueSystem> {
  return LOADERS[name]();
}

const LOADERS: Readonly<Record<SystemName, () => Promise<QueueSystem>>> = {
  pipeline: async () => (await import("./pipeline.ts")).createPipelineSystem(),
  "graphile-worker": async () => {
    const { createGraphileSystem, DEFAULTS } = await import("./graphile-worker.ts");
    return createGraphileSystem(DEFAULTS);
  },
  "graphile-worker-tuned": async () => {
    const { createGraphileSystem, TUNED } = await import("./graphile-worker.ts");
    return createGraphileSystem(TUNED);
  },
  "pg-boss": async () => {
    const { createPgBossSystem, DEFAULTS } = await import("./pg-boss.ts");
    return createPgBossSystem(DEFAULTS);
  },
  "pg-boss-tuned": async () => {
    const { createPgBossSystem, TUNED } = await import("./pg-boss.ts");
    return createPgBossSystem(TUNED);
  },
  dbos: async () => {
    const { createDbosSystem, DEFAULTS } = await import("./dbos.ts");
    return createDbosSystem(DEFAULTS);
  },
  "dbos-tuned": async () => {
    const { createDbosSystem, TUNED } = await import("./dbos.ts");
    return createDbosSystem(TUNED);
  },
};

/**
 * How many documents of a drain each system gets, as a share of the fastest's: enough for seconds of work, and no more,
 * because the slow ones would take minutes. Rates hardly depend on it once the queue is much longer than what is in hand.
 */
export const DRAIN_SHARE: Readonly<Record<SystemName, number>> = {
  pipeline: 1,
  "graphile-worker": 0.05,
  "graphile-worker-tuned": 0.05,
  "pg-boss": 0.005,
  "pg-boss-tuned": 1,
  dbos: 0.05,
  "dbos-tuned": 0.05,
};
