import { Gauge, Histogram, type Registry } from "@prometheus-io/client";

export interface ApiMetrics {
  requests: Histogram<"route" | "method" | "status_class">;
  inFlight: Gauge;
  openStreams: Gauge;
}

/** 2 s is what the alert on latency compares with. */
const SECONDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 30, 60];

export function createApiMetrics(registry: Registry): ApiMetrics {
  const registers = [registry];
  return {
    requests: new Histogram({
      name: "pipeline_http_request_duration_seconds",
      help: "Requests from the first byte to the end of the answer, by route template.",
      labelNames: ["route", "method", "status_class"],
      buckets: SECONDS,
      registers,
    }),
    inFlight: new Gauge({
      name: "pipeline_http_requests_in_flight",
      help: "Requests that are not answered yet, streams included.",
      registers,
    }),
    openStreams: new Gauge({
      name: "pipeline_http_open_streams",
      help: "Event streams that are open.",
      registers,
    }),
  };
}
