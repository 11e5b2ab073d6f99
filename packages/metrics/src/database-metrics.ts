import {
  COUNTED_STATES,
  type Database,
  getQueueFigures,
  getSpendingToday,
  listProviderOutages,
  listSpentToday,
  type ProviderOutage,
  type QueueFigures,
  type SpentToday,
} from "@pipeline/db";
import { createProbe } from "@pipeline/runtime";
import { Gauge, type Registry } from "@prometheus-io/client";

export interface DatabaseMetricsOptions {
  /** Today's budget of everybody, in US dollars; undefined: none. */
  budgetUsdPerDay: number | undefined;
  /** However often /metrics is asked, the database is so at most every so many milliseconds; 5 s by default. */
  keepMs?: number;
  /** After this long the database counts as away; 2 s by default. */
  timeoutMs?: number;
}

interface Figures {
  queue: QueueFigures;
  spent: SpentToday[];
  /** Of today's budget: what is spent or set aside. */
  usedUsd: number;
  outages: ProviderOutage[];
}

const KEEP_MS = 5_000;
const TIMEOUT_MS = 2_000;

/**
 * What the database knows, asked when /metrics is. Where it does not answer in time `pipeline_database_up` is 0 and what
 * it would have told is missing, rather than old.
 */
export function addDatabaseMetrics(registry: Registry, database: Database, options: DatabaseMetricsOptions): void {
  const { keepMs = KEEP_MS, timeoutMs = TIMEOUT_MS, budgetUsdPerDay } = options;
  const probe = createProbe(() => readFigures(database), { keepMs, timeoutMs });
  const ask = (): Promise<Figures | undefined> => probe().catch(() => undefined);
  const up: Gauge = new Gauge({
    name: "pipeline_database_up",
    help: "1 where the database answers, else 0.",
    registers: [registry],
    collect: async () => {
      up.set((await ask()) === undefined ? 0 : 1);
    },
  });
  addPool(registry, database);
  const add = (shown: Shown): void => addFigure(shown, { registry, ask });
  for (const shown of QUEUE_FIGURES) add(shown);
  for (const shown of PROVIDER_FIGURES) add(shown);
  if (budgetUsdPerDay !== undefined) {
    add({
      name: "pipeline_budget_used_ratio",
      help: "Share of today's budget that is spent or set aside.",
      read: ({ usedUsd }) => [{ labels: {}, value: budgetUsdPerDay === 0 ? 1 : usedUsd / budgetUsdPerDay }],
    });
  }
}

async function readFigures(database: Database): Promise<Figures> {
  const queue = await getQueueFigures(database);
  const spent = await listSpentToday(database);
  const today = await getSpendingToday(database);
  const outages = await listProviderOutages(database);
  return { queue, spent, usedUsd: today.spent_usd + today.reserved_usd, outages };
}

/** A metric that is set anew from what the database says whenever it is asked for. */
interface Shown {
  name: string;
  help: string;
  label?: "state" | "provider";
  read: (figures: Figures) => { labels: Record<string, string>; value: number | null }[];
}

function addFigure(
  { name, help, label, read }: Shown,
  { registry, ask }: { registry: Registry; ask: () => Promise<Figures | undefined> },
): void {
  const gauge = new Gauge<string>({
    name,
    help,
    labelNames: label === undefined ? [] : [label],
    registers: [registry],
    collect: async () => {
      const figures = await ask();
      gauge.reset();
      // A gauge without labels begins at 0, which would be a figure that nobody counted.
      if (label === undefined) gauge.remove();
      for (const { labels, value } of figures === undefined ? [] : read(figures)) {
        if (value !== null) gauge.set(labels, value);
      }
    },
  });
}

const single = (read: (queue: QueueFigures) => number | null): Shown["read"] => {
  return ({ queue }) => [{ labels: {}, value: read(queue) }];
};

const QUEUE_FIGURES: readonly Shown[] = [
  {
    name: "pipeline_queue_jobs",
    help: "Jobs by state; counted to 100,000 queued, 100,000 dead letters and 10,000 others.",
    label: "state",
    read: ({ queue }) => COUNTED_STATES.map((state) => ({ labels: { state }, value: queue[`${state}_count`] })),
  },
  {
    name: "pipeline_queue_oldest_seconds",
    help: "Age of the oldest job by state, of queued ones since they can be claimed; missing where there is none.",
    label: "state",
    read: ({ queue }) => COUNTED_STATES.map((state) => ({ labels: { state }, value: queue[`${state}_seconds`] })),
  },
  {
    name: "pipeline_processing_longest_seconds",
    help: "For how long the slowest job has been in a worker's hand or at the parsing provider; 0 where there is none.",
    read: single((queue) => queue.processing_seconds ?? 0),
  },
  {
    name: "pipeline_set_aside_longest_seconds",
    help: "For how long the same reason has kept a job that is to be tried again later, the longest; 0 where there is none.",
    read: single((queue) => queue.set_aside_seconds ?? 0),
  },
  {
    name: "pipeline_dead_letters_recent",
    help: "Jobs that were dead-lettered in the last 15 minutes.",
    read: single((queue) => queue.recent_deadletter_count),
  },
  {
    name: "pipeline_live_workers",
    help: "Workers whose heartbeats come in time.",
    read: single((queue) => queue.live_worker_count),
  },
  {
    name: "pipeline_worker_heartbeat_age_seconds",
    help: "Since any worker was last heard; missing where none ever was.",
    read: single((queue) => queue.heartbeat_seconds),
  },
  {
    name: "pipeline_claims_paused",
    help: "1 while claiming is paused, else 0.",
    read: single((queue) => (queue.is_paused ? 1 : 0)),
  },
];

const byProvider = (read: (spent: SpentToday) => number): Shown["read"] => {
  return ({ spent }) => spent.map((row) => ({ labels: { provider: row.provider }, value: read(row) }));
};

const PROVIDER_FIGURES: readonly Shown[] = [
  {
    name: "pipeline_provider_outage_seconds",
    help: "For how long a provider has been out of order; missing where it is not.",
    label: "provider",
    read: ({ outages }) => outages.map(({ provider, seconds }) => ({ labels: { provider }, value: seconds })),
  },
  {
    name: "pipeline_spent_today_usd",
    help: "Paid today (UTC) by all processes, what may be billed included.",
    label: "provider",
    read: byProvider((spent) => spent.cost_usd),
  },
  {
    name: "pipeline_tokens_today",
    help: "Tokens billed today (UTC) to all processes.",
    label: "provider",
    read: byProvider((spent) => spent.token_count),
  },
  {
    name: "pipeline_pages_today",
    help: "Pages billed today (UTC) to all processes.",
    label: "provider",
    read: byProvider((spent) => spent.page_count),
  },
];

function addPool(registry: Registry, database: Database): void {
  const pool = new Gauge({
    name: "pipeline_database_pool_connections",
    help: "Connections of this process in use and idle, the most it may open, and how many are waited for.",
    labelNames: ["kind"],
    registers: [registry],
    collect: () => {
      for (const [kind, count] of Object.entries(database.connections())) pool.set({ kind }, count);
    },
  });
}
