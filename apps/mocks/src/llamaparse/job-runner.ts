import { randomUUID } from "node:crypto";
import { createDice, type Range } from "../emulator/dice.ts";
import { wait } from "../emulator/wait.ts";
import type { Callbacks } from "./callbacks.ts";
import { isTerminal, type Job, type JobStatus, type ParseFile, type ParseOrder } from "./job.ts";
import { countRead, type JobStore } from "./job-store.ts";
import { isOrdered, readMarkers } from "./markers.ts";
import { failed, judgeOutcome, type ParseOutcome } from "./parse-outcome.ts";
import type { ReadPages } from "./read-pages.ts";
import type { ResultCache } from "./result-cache.ts";
import type { CallbackEvent } from "./webhook-settings.ts";

export interface JobRunner {
  /** Begins a job; its file is read in the background. */
  submit(file: ParseFile, order: ParseOrder): Job;
  /** False where the job is over already. */
  cancel(job: Job): boolean;
  /** Ends the waiting of all jobs under way: they finish as soon as their files are read. */
  finishJobs(): void;
  /** Resolves when no job is under way and no callback on its way. */
  settled(): Promise<void>;
}

export interface RunnerParts {
  seed: number;
  /** How long a job takes, apart from the reading. */
  parseMs: Range;
  now: () => number;
  closing: AbortSignal;
  store: JobStore;
  cache: ResultCache;
  callbacks: Callbacks;
  readPages: ReadPages;
}

/** What ends a job's waiting early. */
interface Brakes {
  finish: AbortController;
  cancel: AbortController;
}

export function createJobRunner(parts: RunnerParts): JobRunner {
  const brakes = new Map<Job, Brakes>();
  const underWay = new Set<Promise<void>>();

  const run = async (job: Job, { file, finish, cancel }: Brakes & { file: ParseFile }): Promise<void> => {
    // The submission is answered before anything else happens.
    await wait(1, parts.closing);
    if (isTerminal(job)) return;
    move(job, { status: "RUNNING", parts });
    const ending = AbortSignal.any([parts.closing, cancel.signal]);
    const outcome = await work({ job, file, parts, ending, hurry: AbortSignal.any([ending, finish.signal]) });
    brakes.delete(job);
    if (!ending.aborted) conclude(job, { outcome, parts });
  };

  return {
    submit(file, order) {
      const job = createJob({ file, order, parts });
      parts.store.add(job);
      const brake: Brakes = { finish: new AbortController(), cancel: new AbortController() };
      brakes.set(job, brake);
      parts.callbacks.send(job, "parse.pending");
      const running = run(job, { file, ...brake }).finally(() => underWay.delete(running));
      underWay.add(running);
      return job;
    },
    cancel(job) {
      if (isTerminal(job)) return false;
      brakes.get(job)?.cancel.abort();
      brakes.delete(job);
      move(job, { status: "CANCELLED", parts });
      return true;
    },
    finishJobs() {
      for (const { finish } of brakes.values()) finish.abort();
    },
    settled: async () => {
      while (underWay.size > 0) await Promise.all(underWay);
      await parts.callbacks.settled();
    },
  };
}

function createJob({ file, order, parts }: { file: ParseFile; order: ParseOrder; parts: RunnerParts }): Job {
  const at = parts.now();
  return {
    id: randomUUID(),
    key: `${file.sha256} ${parts.store.countFor(file.sha256)}`,
    fileName: file.name,
    fileSha256: file.sha256,
    order,
    status: "PENDING",
    error: undefined,
    pages: [],
    isCacheHit: false,
    credits: 0,
    createdAt: at,
    updatedAt: at,
    pollCount: 0,
    isAnswerLost: false,
    isDeleted: false,
  };
}

const EVENT_BY_STATUS: Readonly<Record<JobStatus, CallbackEvent>> = {
  PENDING: "parse.pending",
  RUNNING: "parse.running",
  SUCCESS: "parse.success",
  PARTIAL_SUCCESS: "parse.partial_success",
  ERROR: "parse.error",
  CANCELLED: "parse.cancelled",
};

function move(job: Job, { status, parts }: { status: JobStatus; parts: RunnerParts }): void {
  job.status = status;
  job.updatedAt = parts.now();
  parts.callbacks.send(job, EVENT_BY_STATUS[status]);
}

interface Work {
  job: Job;
  file: ParseFile;
  parts: RunnerParts;
  /** The job is cancelled, or the emulator closes. */
  ending: AbortSignal;
  /** That, or nobody wants to wait. */
  hurry: AbortSignal;
}

/** Reads the file and takes the time that was drawn, but no more than the job's timeout. */
async function work({ job, file, parts, ending, hurry }: Work): Promise<ParseOutcome> {
  const { order } = job;
  const markers = readMarkers(file);
  const cached = isOrdered(markers) ? undefined : parts.cache.find(job.fileSha256, order);
  if (cached !== undefined) {
    job.isCacheHit = true;
    return { status: "SUCCESS", pages: cached };
  }
  const drawnMs = createDice(parts.seed, `job\n${job.key}`).between(parts.parseMs);
  const [outcome, limitMs] = await read({ job, file, parts, ending, hurry }, markers);
  const durationMs = markers.neverEnds ? Infinity : drawnMs;
  const startedMs = parts.now() - job.createdAt;
  await wait(Math.min(durationMs, limitMs) - startedMs, hurry);
  return durationMs > limitMs ? failed("TIMEOUT") : outcome;
}

async function read(
  { job, file, parts, ending }: Work,
  markers: ReturnType<typeof readMarkers>,
): Promise<[outcome: ParseOutcome, limitMs: number]> {
  const { order } = job;
  // A cancelled job has no outcome: whatever the reading says then is not looked at.
  const pages = await parts.readPages(file, { signal: ending });
  const outcome = judgeOutcome(pages, { order, markers });
  const pageCount = "pages" in outcome ? outcome.pages.length : 0;
  return [outcome, order.timeoutMs.base + order.timeoutMs.perPage * pageCount];
}

function conclude(job: Job, { outcome, parts }: { outcome: ParseOutcome; parts: RunnerParts }): void {
  if ("error" in outcome) job.error = outcome.error;
  if ("pages" in outcome) {
    job.pages = outcome.pages;
    if (!job.isCacheHit) {
      job.credits = countRead(outcome.pages) * job.order.creditsPerPage;
      if (outcome.status === "SUCCESS") parts.cache.keep(outcome.pages, job);
    }
  }
  move(job, { status: outcome.status, parts });
}
