import {
  getQueueFigures,
  getSpendingToday,
  type InstanceRow,
  listLiveInstances,
  listProviderOutages,
  type Queryable,
  type QueueFigures,
} from "@pipeline/db";
import { findDifferences } from "./compare-instances.ts";
import { addTraffic, countRequests, latencyQuantile, trafficSchema } from "./latency-window.ts";

/** What alerts are decided by. */
export interface AlertFigures {
  queue: QueueFigures;
  /** Of all instances of the API together, in the last five minutes. */
  api: { request_count: number; error_count: number; p95_seconds: number | null };
  live_api_count: number;
  difference_count: number;
  /** What is spent or set aside today of the budget; null: there is none. */
  budget_share: number | null;
  /** For how long a provider has been out of order, the longest; null: none is. */
  outage_seconds: number | null;
}

/** Of fewer requests nobody can say how the API is doing. */
export const MIN_REQUESTS = 20;

export async function readAlertFigures(db: Queryable): Promise<AlertFigures> {
  const queue = await getQueueFigures(db);
  const instances = await listLiveInstances(db);
  const [longest] = await listProviderOutages(db);
  const apis = instances.filter((instance) => instance.service === "api");
  // What a process of another version tells in another shape is left out.
  const traffic = addTraffic(apis.flatMap((api) => trafficSchema.safeParse(api.traffic).data ?? []));
  return {
    queue,
    api: {
      request_count: countRequests(traffic),
      error_count: traffic.error_count,
      p95_seconds: latencyQuantile(traffic, 0.95) ?? null,
    },
    live_api_count: apis.length,
    difference_count: findDifferences(instances).length,
    budget_share: await readBudgetShare(db, instances),
    outage_seconds: longest?.seconds ?? null,
  };
}

/** Of the smallest budget that any process has. What is set aside counts, as it does where paid work is refused. */
async function readBudgetShare(db: Queryable, instances: readonly InstanceRow[]): Promise<number | null> {
  const budgets = instances.flatMap((instance) => instance.budget_usd_per_day ?? []);
  if (budgets.length === 0) return null;
  const budget = Math.min(...budgets);
  const { spent_usd, reserved_usd } = await getSpendingToday(db);
  // A budget of nothing is used up.
  return budget === 0 ? 1 : (spent_usd + reserved_usd) / budget;
}
