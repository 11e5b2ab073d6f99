import { Counter, Gauge, Histogram, type Registry } from "@prometheus-io/client";

export interface WorkerMetrics {
  stages: Histogram<"stage" | "outcome">;
  failures: Counter<"stage" | "code">;
  claims: Counter;
  claimEnds: Counter<"outcome">;
  rescues: Counter<"state">;
  rounds: Counter<"outcome">;
  heartbeats: Counter<"outcome">;
  jobsInHand: Gauge;
}

const SECONDS = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1_800];

export function createWorkerMetrics(registry: Registry): WorkerMetrics {
  const registers = [registry];
  return {
    stages: new Histogram({
      name: "pipeline_stage_duration_seconds",
      help: "Runs of stages until their outcome was durable, by outcome.",
      labelNames: ["stage", "outcome"],
      buckets: SECONDS,
      registers,
    }),
    failures: new Counter({
      name: "pipeline_stage_failures_total",
      help: "Failed and deferred runs of stages, by the code of the failure.",
      labelNames: ["stage", "code"],
      registers,
    }),
    claims: new Counter({ name: "pipeline_claims_total", help: "Jobs that this worker claimed.", registers }),
    claimEnds: new Counter({
      name: "pipeline_claim_ends_total",
      help: "How claims ended; retry_scheduled is a retry, abandoned a job that the rescue has to find.",
      labelNames: ["outcome"],
      registers,
    }),
    rescues: new Counter({
      name: "pipeline_rescued_jobs_total",
      help: "Jobs that this worker took back from dead workers, by what became of them.",
      labelNames: ["state"],
      registers,
    }),
    rounds: new Counter({
      name: "pipeline_worker_rounds_total",
      help: "Looks at the queue, by whether they succeeded.",
      labelNames: ["outcome"],
      registers,
    }),
    heartbeats: new Counter({
      name: "pipeline_worker_heartbeats_total",
      help: "Rounds of heartbeats, by whether they succeeded.",
      labelNames: ["outcome"],
      registers,
    }),
    jobsInHand: new Gauge({
      name: "pipeline_worker_jobs_in_hand",
      help: "Jobs that this worker works on.",
      registers,
    }),
  };
}
