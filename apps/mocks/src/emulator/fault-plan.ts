import { createHash } from "node:crypto";
import { AppError } from "@pipeline/runtime";
import { createDice, type Dice, type Range } from "./dice.ts";

/**
 * `server_error`, `rate_limited` and `quota` refuse before any work is done. `half_body` and `timeout` come after it: the
 * work is billed and its answer is lost, which is the worst that a real service can do.
 */
export const FAULTS = ["server_error", "rate_limited", "quota", "half_body", "timeout"] as const;
export type Fault = (typeof FAULTS)[number];

export interface FaultOptions {
  /** Repeats latencies and faults; 1 by default. */
  seed?: number;
  /** How long a request waits before it is served; none by default. */
  latencyMs?: Range;
  /** Share of the requests that meet each fault, 0 to 1; together at most 1. */
  rates?: Partial<Record<Fault, number>>;
  /** How long a `timeout` keeps its connection open; 30 s by default. */
  hangMs?: number;
}

/** What happens to one request. */
export interface Verdict {
  latencyMs: number;
  fault: Fault | undefined;
  /** For what else has to be drawn for this request. */
  dice: Dice;
}

export interface PlannedRequest {
  route: string;
  content: string;
  /** Only such a request can meet `quota`. */
  isBilled: boolean;
}

export interface FaultPlan {
  /** What happens to the next request of this content: its own history decides, not that of others. */
  next(request: PlannedRequest): Verdict;
  /** Lets the next requests fail, on one route ("POST /v1/embeddings") or on all, whatever the rates say. */
  failNext(fault: Fault, options?: FailNextOptions): void;
}

export interface FailNextOptions {
  route?: string;
  /** 1 by default. */
  times?: number;
}

const NO_LATENCY: Range = [0, 0];

/** Throws `invalid_mock_options` for rates that cannot be. */
export function createFaultPlan(options: FaultOptions): FaultPlan {
  const { seed = 1, latencyMs = NO_LATENCY, rates = {} } = options;
  assertRates(rates);
  assertRange("latencyMs", latencyMs);
  const counts = new Map<string, number>();
  const ordered: Order[] = [];
  return {
    next({ route, content, isBilled }) {
      // A hash, because contents are whole documents.
      const key = createHash("sha256").update(`${route}\n${content}`).digest("base64");
      const count = counts.get(key) ?? 0;
      counts.set(key, count + 1);
      const dice = createDice(seed, `${key}\n${count}`);
      const drawn = { latencyMs: dice.between(latencyMs), fault: drawFault(rates, dice.next()), dice };
      const fault = takeOrder(ordered, { route, isBilled }) ?? drawn.fault;
      return { ...drawn, fault: fault === "quota" && !isBilled ? undefined : fault };
    },
    failNext(fault, { route, times = 1 } = {}) {
      for (let time = 0; time < times; time += 1) ordered.push({ fault, route });
    },
  };
}

export function assertRange(name: string, [low, high]: Range): void {
  if (!(low >= 0 && high >= low && Number.isFinite(high))) {
    throw invalidOptions(`${name} must be two numbers from low to high.`);
  }
}

/** Each from 0 to 1, together at most 1. */
export function assertRates(rates: Partial<Record<string, number>>): void {
  const given = Object.values(rates).filter((rate) => rate !== undefined);
  const total = given.reduce((sum, rate) => sum + rate, 0);
  // Sums like 0.1 + 0.2 miss their value by a little.
  if (given.some((rate) => !(rate >= 0)) || !(total <= 1 + 1e-9)) {
    throw invalidOptions("Rates must be from 0 to 1, and together at most 1.");
  }
}

interface Order {
  fault: Fault;
  route: string | undefined;
}

/** The oldest order that this request can carry out; it is gone then. */
function takeOrder(ordered: Order[], { route, isBilled }: Omit<PlannedRequest, "content">): Fault | undefined {
  const position = ordered.findIndex(
    (order) => (order.route === undefined || order.route === route) && (order.fault !== "quota" || isBilled),
  );
  return position === -1 ? undefined : ordered.splice(position, 1)[0]?.fault;
}

function invalidOptions(message: string): AppError {
  return new AppError({ kind: "invalid", code: "invalid_mock_options", message });
}

function drawFault(rates: Partial<Record<Fault, number>>, drawn: number): Fault | undefined {
  let reached = 0;
  return FAULTS.find((fault) => {
    reached += rates[fault] ?? 0;
    return drawn < reached;
  });
}
