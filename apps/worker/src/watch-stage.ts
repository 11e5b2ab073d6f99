import type { Claim, StageDefinition } from "@pipeline/db";
import type { JobRun } from "./run-job.ts";

/** A stage under way, as those see it who look at metrics and traces. */
export interface WatchedStage {
  run<T>(work: () => T): T;
  /** `code` says why it did not advance; `isFailure` that this counts as a failure, not as a delay. */
  ended(outcome: string, why?: { code: string; isFailure: boolean }): void;
}

export function watchStage(job: Claim, { stage }: StageDefinition, { metrics, tracing }: JobRun): WatchedStage {
  const startedAt = performance.now();
  const { job_id, document_id, correlation_id, retry_count } = job;
  const attempt = retry_count + 1;
  const attributes = { stage, job_id, document_id, correlation_id, attempt };
  const span = tracing.begin(`stage ${stage}`, { kind: "internal", attributes });
  return {
    run: (work) => span.run(work),
    ended: (outcome, why) => {
      metrics.stages.observe({ stage, outcome }, (performance.now() - startedAt) / 1_000);
      span.end({
        outcome,
        ...(why === undefined ? {} : { code: why.code }),
        ...(why?.isFailure === true ? { "error.type": why.code } : {}),
      });
    },
  };
}
