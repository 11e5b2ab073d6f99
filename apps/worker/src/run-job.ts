import { type CheckpointBatcher, type Claim, type Database, stageFrom, type StageDefinition } from "@pipeline/db";
import type { Embedder } from "@pipeline/embedding";
import type { Logger } from "@pipeline/runtime";
import type { ObjectStore } from "@pipeline/storage";
import { LostClaim, WorkerStopping } from "./abort-reasons.ts";
import { type ClaimFile, createClaimFile } from "./claim-file.ts";
import { type ClaimEnd, failClaim, failureOf, parkClaim, releaseClaim } from "./end-claim.ts";
import type { WorkerOptions } from "./options.ts";
import { runStage } from "./run-stage.ts";

/** What every job of a worker runs with. */
export interface JobDependencies {
  database: Database;
  storage: ObjectStore;
  embedder: Embedder;
  log: Logger;
  options: WorkerOptions;
  batcher: CheckpointBatcher;
  random: () => number;
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
  let end: ClaimEnd = "abandoned";
  try {
    end = await walkStages(claim, run);
    if (end === "dead_lettered" && file.isRejected()) await removeRejected(claim, run);
  } catch (error) {
    log.error({ err: error }, "claim abandoned");
  }
  await cleanFile(run);
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

/** Undefined: the step was made and the claim goes on. */
async function takeStep(job: Claim, definition: StageDefinition, run: JobRun): Promise<ClaimEnd | undefined> {
  try {
    const outcome = await runStage(job, definition, run);
    return outcome.kind === "wait" ? await parkClaim(job, outcome, run) : undefined;
  } catch (error) {
    return endAfter(error, { job, definition, run });
  }
}

async function endAfter(
  thrown: unknown,
  step: { job: Claim; definition: StageDefinition; run: JobRun },
): Promise<ClaimEnd> {
  const { job, run } = step;
  const { stage } = step.definition;
  if (thrown instanceof LostClaim) return "lost";
  if (thrown instanceof WorkerStopping) return releaseClaim(job, run);
  const error = failureOf(thrown);
  run.log.error({ err: error, stage, retry_count: job.retry_count }, "stage failed");
  return failClaim(job, { stage, error }, run);
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
