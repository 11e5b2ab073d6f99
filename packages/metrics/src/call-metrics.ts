import { NO_TRACING, type Tracing } from "@pipeline/telemetry";
import { Counter, Histogram, type Registry } from "@prometheus-io/client";

/** Requests to services outside, and what they cost. */
export interface CallMetrics {
  duration: Histogram<"provider" | "operation" | "outcome">;
  tokens: Counter<"provider">;
  cost: Counter<"provider">;
  /** Where each request is a span of what it is made for. */
  tracing: Tracing;
}

const SECONDS = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120];

export function createCallMetrics(registry: Registry, tracing: Tracing = NO_TRACING): CallMetrics {
  const registers = [registry];
  return {
    duration: new Histogram({
      name: "pipeline_external_call_duration_seconds",
      help: "Requests to storage, parser and embedder, by how they ended.",
      labelNames: ["provider", "operation", "outcome"],
      buckets: SECONDS,
      registers,
    }),
    tokens: new Counter({
      name: "pipeline_embedding_tokens_total",
      help: "Tokens that this process had embedded, as the provider counts them.",
      labelNames: ["provider"],
      registers,
    }),
    cost: new Counter({
      name: "pipeline_embedding_cost_usd_total",
      help: "What those tokens cost by the provider's price, in US dollars.",
      labelNames: ["provider"],
      registers,
    }),
    tracing,
  };
}
