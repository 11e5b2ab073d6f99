import { AppError, isRetryable } from "@pipeline/runtime";
import type { CallMetrics } from "./call-metrics.ts";

/** One kind of request to a service outside. */
export interface CallKind {
  provider: string;
  operation: string;
}

export const CALL_OUTCOMES = ["ok", "rate_limited", "failed", "refused", "stopped"] as const;
export type CallOutcome = (typeof CALL_OUTCOMES)[number];

/** Runs the call and notes how long it took and how it ended, as a metric and as a span; throws what it throws. */
export async function measureCall<T>(metrics: CallMetrics, kind: CallKind, call: () => Promise<T>): Promise<T> {
  const startedAt = performance.now();
  const { provider, operation } = kind;
  const span = metrics.tracing.begin(`${provider} ${operation}`, {
    kind: "client",
    attributes: { provider, operation },
  });
  const note = (outcome: CallOutcome): void => {
    span.end({ outcome, ...(outcome === "ok" || outcome === "stopped" ? {} : { "error.type": outcome }) });
    metrics.duration.observe({ ...kind, outcome }, (performance.now() - startedAt) / 1_000);
  };
  try {
    const result = await span.run(call);
    note("ok");
    return result;
  } catch (error) {
    note(outcomeOf(error));
    throw error;
  }
}

/** What was thrown and is no AppError is the reason of an abort: we stopped it ourselves. */
function outcomeOf(error: unknown): CallOutcome {
  if (!(error instanceof AppError)) return "stopped";
  if (error.kind === "rate_limited") return "rate_limited";
  return isRetryable(error) || error.kind === "internal" ? "failed" : "refused";
}
