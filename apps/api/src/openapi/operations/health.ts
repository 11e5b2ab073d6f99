import type { Operations } from "../operation.ts";

const NO_WORKER = { part: "workers", code: "no_live_worker", detail: "No worker sends heartbeats." };

export const healthOperations: Operations = {
  "GET /health": {
    id: "getHealth",
    tag: "health",
    access: "public",
    summary: "The state of the whole system",
    answers: {
      200: {
        description: "Always 200: `status` and `failing` tell.",
        example: {
          status: "healthy",
          environment: "production",
          timestamp: "2026-03-02T09:15:00.000Z",
          database: "healthy",
          storage: "healthy",
          workers: { live_count: 2, last_heartbeat_at: "2026-03-02T09:14:58.000Z" },
          schema_version: 7,
          build: "0.1.0+4f2a9c1b7d3e",
          fingerprint: "9c41d6e0a27f",
          alerts: [],
          failing: [],
        },
      },
    },
  },
  "GET /health/live": {
    id: "getLiveness",
    tag: "health",
    access: "public",
    summary: "Whether this process answers",
    answers: { 200: { description: "It does.", example: { status: "live" } } },
  },
  "GET /health/ready": {
    id: "getReadiness",
    tag: "health",
    access: "public",
    summary: "Whether an upload sent now would become searchable",
    description:
      "Claiming that is paused on purpose leaves it ready: uploads are taken and wait. `/health` names it. So does a parsing provider that is out of order where LLAMAPARSE_FALLBACK reads documents in its place.",
    answers: {
      200: { description: "It would.", example: { status: "ready", failing: [] } },
      503: {
        description: "It would not, and why.",
        example: { status: "not_ready", failing: [NO_WORKER] },
      },
    },
  },
  "GET /metrics": {
    id: "getMetrics",
    tag: "health",
    access: "public",
    summary: "What this process counted, for Prometheus",
    description:
      "Where METRICS_TOKEN is set it must come as a bearer token; without one staging and production have no such route.",
    codes: ["unauthorized", "route_not_found"],
    answers: { 200: { description: "Prometheus' text format." } },
  },
  "GET /docs/openapi.json": {
    id: "getContract",
    tag: "contract",
    access: "public",
    summary: "This description as OpenAPI 3.1",
    answers: { 200: { description: "The document." } },
  },
};
