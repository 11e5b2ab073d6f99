import {
  type CheckpointBatcher,
  type Claim,
  type Database,
  isPrivilegeMissing,
  stageFrom,
  type StageDefinition,
} from "@pipeline/db";
import type { Embedder } from "@pipeline/embedding";
import { correlated, type Logger } from "@pipeline/runtime";
import type { WorkerMetrics } from "@pipeline/metrics";
import type { ObjectStore } from "@pipeline/storage";
import type { Tracing } from "@pipeline/telemetry";
import { LostClaim, WorkerStopping } from "./abort-reasons.ts";
import { type ClaimFile, createClaimFile } from "./claim-file.ts";
import { deferClaim } from "./defer-claim.ts";
import { Deferral } from "./deferral.ts";
import { type ClaimEnd, type EndWrite, failClaim, failureOf, parkClaim, releaseClaim } from "./end-claim.ts";
import type { WorkerOptions } from "./options.ts";
import { runStage } from "./run-stage.ts";
import type { Failed, Parser } from "./stage-handler.ts";
import { type WatchedStage, watchStage } from "./watch-stage.ts";

/** What every job of a worker runs with. */
export interface JobDependencies {
  database: Database;
  storage: ObjectStore;
  embedder: Embedder;
  parser: Parser;
  log: Logger;
  options: WorkerOptions;
  batcher: CheckpointBatcher;
  random: () => number;
  metrics: WorkerMetrics;
  tracing: Tracing;
}

/** One claim under way. */
export interface JobRun extends JobDependencies {
  file: ClaimFile;
  /** Aborted with LostClaim or WorkerStopping. */
  claimOver: AbortController;
}

/** Carries a claimed job through as many stages as it can, and acknowledges it exactly once. Never throws. */
export async function runJob(
  claim: Claim,
  dependencies: JobDependencies & { claimOver: AbortController },
): Promise<ClaimEnd> {
  const { job_id, document_id, correlation_id } = claim;
  const log = dependencies.log.child({ job_id, document_id, correlation_id });
  const file = createClaimFile(claim, {
    storage: dependencies.storage,
    copiesDirectory: dependencies.options.copiesDirectory,
  });
  const run: JobRun = { ...dependencies, log, file };
  const startedAt = performance.now();
  const span = dependencies.tracing.begin("claim", {
    kind: "consumer",
    attributes: { job_id, document_id, correlation_id },
  });
  let end: ClaimEnd = "abandoned";
  try {
    end = await correlated(correlation_id, () => span.run(() => walkStages(claim, run)));
    if (end === "dead_lettered" && file.isRejected()) await removeRejected(claim, run);
  } catch (error) {
    log.error({ err: error }, "claim abandoned");
  }
  await cleanFile(run);
  run.metrics.claimEnds.inc({ outcome: end });
  span.end({ outcome: end });
  log.info({ outcome: end, ms: Math.round(performance.now() - startedAt) }, "claim ended");
  return end;
}

async function walkStages(claim: Claim, run: JobRun): Promise<ClaimEnd> {
  let job = claim;
  for (;;) {
    const definition = stageFrom(job.status);
    if (definition === undefined) return "completed";
    const end = await takeStep(job, definition, run);
    if (end !== undefined) return end;
    // As the checkpoint left it: failures are counted per stage.
    job = { ...claim, status: definition.to, retry_count: 0 };
  }
}

interface Step {
  job: Claim;
  definition: StageDefinition;
  run: JobRun;
}

/** Undefined: the step was made and the claim goes on. */
async function takeStep(job: Claim, definition: StageDefinition, run: JobRun): Promise<ClaimEnd | undefined> {
  const step = { job, definition, run };
  const watched = watchStage(job, definition, run);
  let failed: Failed;
  try {
    const outcome = await watched.run(() => runStage(job, definition, run));
    watched.ended(outcome.kind, outcome.kind === "fail" ? { code: outcome.error.code, isFailure: true } : undefined);
    if (outcome.kind === "advance") return undefined;
    if (outcome.kind === "wait") return await parkClaim(job, outcome, run);
    failed = outcome;
  } catch (error) {
    watched.ended(...endOf(error));
    return endAfter(error, step);
  }
  return endFailed(step, failed);
}

function endOf(thrown: unknown): Parameters<WatchedStage["ended"]> {
  if (thrown instanceof LostClaim) return ["lost"];
  if (thrown instanceof WorkerStopping) return ["stopped"];
  if (thrown instanceof Deferral) return ["deferred", { code: thrown.reason.code, isFailure: false }];
  return ["fail", { code: failureOf(thrown).code, isFailure: true }];
}

/** Until an operator has mended it. */
const PRIVILEGE_WAIT_MS = 30_000;

async function endAfter(thrown: unknown, step: Step): Promise<ClaimEnd> {
  if (thrown instanceof LostClaim) return "lost";
  if (thrown instanceof WorkerStopping) return releaseClaim(step.job, step.run);
  if (thrown instanceof Deferral) return endDeferred(step, thrown);
  const error = failureOf(thrown);
  if (!isPrivilegeMissing(error)) return endFailed(step, { error: thrown });
  step.run.log.error(
    { err: error, stage: step.definition.stage },
    "stage set aside: the database withholds a privilege",
  );
  return endDeferred(step, new Deferral(error, PRIVILEGE_WAIT_MS));
}

function endDeferred({ job, definition, run }: Step, deferral: Deferral): Promise<ClaimEnd> {
  const { stage } = definition;
  run.metrics.failures.inc({ stage, code: deferral.reason.code });
  run.log.info({ code: deferral.reason.code, stage, delay_ms: Math.round(deferral.delayMs) }, "stage deferred");
  return deferClaim(job, { stage, deferral }, run);
}

function endFailed({ job, definition, run }: Step, failed: { error: unknown; write?: EndWrite }): Promise<ClaimEnd> {
  const { stage } = definition;
  const error = failureOf(failed.error);
  run.metrics.failures.inc({ stage, code: error.code });
  run.log.error({ err: error, stage, retry_count: job.retry_count }, "stage failed");
  return failClaim(job, { stage, error, write: failed.write }, run);
}

/** Bytes that are not what the owner promised are not kept. The job is dead-lettered by now, whatever comes of this. */
async function removeRejected(claim: Claim, { storage, log }: JobRun): Promise<void> {
  try {
    await storage.remove([claim.raw_path]);
    log.info("rejected file removed");
  } catch (error) {
    log.warn({ err: error }, "rejected file not removed");
  }
}

/** A copy that cannot be removed does not change how the claim ended; a later start clears it. */
async function cleanFile({ file, log }: JobRun): Promise<void> {
  try {
    await file.clean();
  } catch (error) {
    log.warn({ err: error }, "local copy not removed");
  }
}
