/**
 * `server_error` and `rate_limit` answer as the service, `bad_gateway` as the proxy before it. `hang` answers nothing.
 * `cut_upload` breaks the connection when half of the request's body has come, `cut_answer` when half of the answer's
 * is sent; `short_answer` ends there as if that were all.
 */
export const FAULTS = [
  "server_error",
  "rate_limit",
  "bad_gateway",
  "hang",
  "cut_upload",
  "cut_answer",
  "short_answer",
] as const;
export type Fault = (typeof FAULTS)[number];

export interface FaultPlan {
  /** The same seed and the same order of requests give the same faults. */
  seed: number;
  /** Every request waits up to that long. */
  maxLatencyMs?: number;
  /** How long a connection that gets no answer stays open; for ever by default. */
  hangMs?: number;
  /** Share of requests, 0 to 1, that meet each fault. */
  rates?: Partial<Record<Fault, number>>;
}

export interface FaultSource {
  /** What happens to the next request. */
  draw(route: string): { fault: Fault | undefined; latencyMs: number };
  /** The next `times` requests of a route meet the fault, before and besides what is drawn. */
  force(fault: Fault, options: { route: string; times: number }): void;
}

export function createFaults(plan: FaultPlan): FaultSource {
  const random = createRandom(plan.seed);
  const forced: { fault: Fault; route: string }[] = [];
  return {
    draw(route) {
      const latencyMs = Math.floor(random() * (plan.maxLatencyMs ?? 0));
      const drawn = drawFault(random(), plan.rates ?? {});
      const position = forced.findIndex((entry) => entry.route === route);
      const [entry] = position === -1 ? [] : forced.splice(position, 1);
      return { fault: entry?.fault ?? drawn, latencyMs };
    },
    force(fault, { route, times }) {
      for (let count = 0; count < times; count += 1) forced.push({ fault, route });
    },
  };
}

function drawFault(value: number, rates: Partial<Record<Fault, number>>): Fault | undefined {
  let sum = 0;
  return FAULTS.find((fault) => {
    sum += rates[fault] ?? 0;
    return value < sum;
  });
}

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function createRandom(seed: number): () => number {
  let state = Math.trunc(seed);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
