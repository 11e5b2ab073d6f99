import type { Claim, Queryable, StageDefinition } from "@pipeline/db";
import { holdJob } from "@pipeline/db";
import type { Logger } from "@pipeline/runtime";
import { LostClaim } from "./abort-reasons.ts";
import { commitStage } from "./commit-stage.ts";
import { loadStages } from "./load-stages.ts";
import { createPatientReads } from "./patient-reads.ts";
import { createProgressReporter, type ProgressReporter } from "./progress-reporter.ts";
import { retryDatabase } from "./retry-database.ts";
import { runBounded } from "./run-bounded.ts";
import type { JobRun } from "./run-job.ts";
import type { StageContext, StageOutcome } from "./stage-handler.ts";

/**
 * Runs the handler of one stage within its deadline and makes its outcome durable. Throws what the handler threw,
 * `stage_timeout`, LostClaim or WorkerStopping.
 */
export async function runStage(job: Claim, definition: StageDefinition, run: JobRun): Promise<StageOutcome> {
  const { stage } = definition;
  const log = run.log.child({ stage });
  const startedAt = performance.now();
  const progress = createProgressReporter(run.database, {
    hold: job,
    log,
    onLost: () => run.claimOver.abort(new LostClaim()),
  });
  const outcome = await runBounded(
    async (signal) => {
      const handlers = await loadStages();
      return handlers[stage](job, buildContext({ job, run, signal, log, progress }));
    },
    { stage, deadlineMs: deadlineOf(definition, run), signal: run.claimOver.signal },
  );
  await progress.settle();
  const ms = (): number => Math.round(performance.now() - startedAt);
  if (outcome.kind === "wait") {
    log.info({ waiting_for: outcome.waiting_for, delay_ms: outcome.delayMs, ms: ms() }, "stage waits");
  }
  if (outcome.kind !== "advance") return outcome;
  await commitOutcome(job, { definition, outcome, run });
  log.info({ status: definition.to, ms: ms() }, "stage done");
  return outcome;
}

/** The lease ends a little after the table's deadline, so a longer one is of no use. */
function deadlineOf(definition: StageDefinition, { options }: JobRun): number {
  return Math.min(definition.deadlineMs, options.stageDeadlinesMs?.[definition.stage] ?? definition.deadlineMs);
}

/** A slot that waits works on nothing else; giving the job back and claiming it again costs a few milliseconds. */
const LONGEST_RATE_WAIT_MS = 10_000;

interface ContextParts {
  job: Claim;
  run: JobRun;
  signal: AbortSignal;
  log: Logger;
  progress: ProgressReporter;
}

function buildContext({ job, run, signal, log, progress }: ContextParts): StageContext {
  const { database, storage, embedder, parser, options, random } = run;
  const retry = { forMs: options.leaseMs, random, signal };
  return {
    signal,
    log,
    database: createPatientReads(database, retry),
    storage,
    embedder,
    parser,
    parseLimits: options.parseLimits,
    paid: {
      budgets: options.budgets ?? {},
      longestWaitMs: options.longestRateWaitMs ?? LONGEST_RATE_WAIT_MS,
      retryBaseDelayMs: options.retryBaseDelayMs,
    },
    file: () => run.file.fetch(signal),
    save: (write) => retryDatabase(() => saveHeld(job, { run, signal, write }), retry),
    progress: (counters) => progress.report(counters),
    isLastAttempt: job.retry_count >= options.maxRetries,
    random,
  };
}

async function saveHeld(
  job: Claim,
  { run, signal, write }: { run: JobRun; signal: AbortSignal; write: (tx: Queryable) => Promise<void> },
): Promise<void> {
  // A handler that outlived its stage must not write into the next attempt of the same claim.
  signal.throwIfAborted();
  await run.database.transaction(async (tx) => {
    if (!(await holdJob(tx, job))) throw new LostClaim();
    await write(tx);
  });
}

async function commitOutcome(
  job: Claim,
  step: { definition: StageDefinition; outcome: Extract<StageOutcome, { kind: "advance" }>; run: JobRun },
): Promise<void> {
  const { definition, outcome, run } = step;
  const { job_id, user_id, fence } = job;
  await commitStage(
    {
      checkpoint: {
        job_id,
        user_id,
        fence,
        from: definition.from,
        to: definition.to,
        progress: { ...outcome.progress },
        detail: outcome.detail ?? {},
      },
      write: outcome.write,
    },
    {
      database: run.database,
      batcher: run.batcher,
      retry: { forMs: run.options.leaseMs, random: run.random, signal: run.claimOver.signal },
    },
  );
}
