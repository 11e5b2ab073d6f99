import { z } from "zod";

/** What an API served lately, small enough to be told with every heartbeat and added up over all instances. */
export const trafficSchema = z.object({
  /** Requests by how long they took: up to each of LATENCY_BOUNDS, the last ones longer than all of them. */
  counts: z.array(z.int().nonnegative()),
  /** Requests that ended with a fault of ours. */
  error_count: z.int().nonnegative(),
});
export type Traffic = z.infer<typeof trafficSchema>;

/**
 * Seconds. What alerts compare with stands among them, so that whether the 95th percentile is above it is never a guess.
 */
export const LATENCY_BOUNDS = [0.05, 0.1, 0.25, 0.5, 1, 1.6, 2, 3, 5, 10, 30] as const;

export const WINDOW_SECONDS = 300;
const SLOT_SECONDS = 10;

export interface LatencyWindow {
  record(request: { ms: number; isError: boolean }): void;
  /** Of the last five minutes. */
  read(): Traffic;
}

/** Counts requests of the last five minutes in slots of ten seconds, whatever their number. */
export function createLatencyWindow(clock: () => number = () => performance.now()): LatencyWindow {
  const slots = new Map<number, Traffic>();
  const slotNow = (): number => Math.floor(clock() / (SLOT_SECONDS * 1_000));
  const forget = (): void => {
    for (const slot of slots.keys()) if (slot <= slotNow() - WINDOW_SECONDS / SLOT_SECONDS) slots.delete(slot);
  };
  return {
    record: ({ ms, isError }) => {
      forget();
      const slot = slots.get(slotNow()) ?? emptyTraffic();
      const bucket = bucketOf(ms / 1_000);
      slot.counts[bucket] = (slot.counts[bucket] ?? 0) + 1;
      if (isError) slot.error_count += 1;
      slots.set(slotNow(), slot);
    },
    read: () => {
      forget();
      return addTraffic([...slots.values()]);
    },
  };
}

export function addTraffic(parts: readonly Traffic[]): Traffic {
  const sum = emptyTraffic();
  for (const part of parts) {
    sum.counts = sum.counts.map((count, bucket) => count + (part.counts[bucket] ?? 0));
    sum.error_count += part.error_count;
  }
  return sum;
}

export function countRequests({ counts }: Traffic): number {
  return counts.reduce((sum, count) => sum + count, 0);
}

/** Seconds that `share` of the requests took at most, straight between two bounds; undefined without a request. */
export function latencyQuantile(traffic: Traffic, share: number): number | undefined {
  const wanted = countRequests(traffic) * share;
  if (wanted === 0) return undefined;
  let below = 0;
  for (const [bucket, count] of traffic.counts.entries()) {
    if (count > 0 && below + count >= wanted) {
      const from = LATENCY_BOUNDS[bucket - 1] ?? 0;
      const to = LATENCY_BOUNDS[bucket] ?? from;
      return from + (to - from) * ((wanted - below) / count);
    }
    below += count;
  }
  return undefined;
}

function emptyTraffic(): Traffic {
  return { counts: Array.from({ length: LATENCY_BOUNDS.length + 1 }, () => 0), error_count: 0 };
}

function bucketOf(seconds: number): number {
  const bucket = LATENCY_BOUNDS.findIndex((bound) => seconds <= bound);
  return bucket === -1 ? LATENCY_BOUNDS.length : bucket;
}
