import { type EventRow, type JobDetails, type ListedJob, progressPercent } from "@pipeline/db";
import { z } from "zod";
import { formatAge } from "./age.ts";
import { formatFacts, formatTable, shorten } from "./table.ts";

/** Enough of an id to name its job. */
const SHORT_ID = 8;
const NAME_WIDTH = 36;

export function formatJobs(jobs: readonly ListedJob[], now: Date): string {
  if (jobs.length === 0) return "No jobs.\n";
  return formatTable(
    ["JOB", "STATE", "STATUS", "DONE", "TRIES", "CREATED", "CHANGED", "USER", "ERROR", "FILE"],
    jobs.map((job) => [
      shortId(job.job_id),
      job.state,
      job.status,
      `${percentOf(job)} %`,
      String(job.retry_count),
      formatAge(job.created_at, now),
      formatAge(job.updated_at, now),
      shortId(job.user_id),
      job.last_error?.code ?? "-",
      shorten(job.filename, NAME_WIDTH),
    ]),
  );
}

export function formatJob(job: JobDetails, now: Date): string {
  const age = (time: Date | null): string => formatAge(time, now);
  return formatFacts([
    ["job", job.job_id],
    ["document", job.document_id],
    ["user", job.user_id],
    ["file", `${job.filename} (${job.mime}, ${job.bytes_len} bytes)`],
    ["state", describeState(job, age)],
    ["status", `${job.status}, ${percentOf(job)} % done`],
    ["generation", describeGeneration(job)],
    ["attempts", `${job.retry_count} failed, ${job.crash_count} workers lost`],
    ["last error", describeError(job)],
    ["fence", String(job.fence)],
    ["turn", `${job.turn}, priority ${job.priority}`],
    ["created", age(job.created_at)],
    ["changed", age(job.updated_at)],
    ["finished", age(job.finished_at)],
    ["correlation", job.correlation_id],
  ]);
}

export function formatEvents(events: readonly EventRow[], now: Date): string {
  if (events.length === 0) return "No events.\n";
  return formatTable(
    ["WHEN", "EVENT", "STATUS", "STATE", "FENCE", "CODE", "CORRELATION"],
    events.map((event) => [
      formatAge(event.created_at, now),
      event.type,
      event.status,
      event.state,
      String(event.fence),
      event.code ?? "-",
      event.correlation_id,
    ]),
  );
}

export function shortId(id: string): string {
  return id.slice(0, SHORT_ID);
}

function describeState(job: JobDetails, age: (time: Date | null) => string): string {
  if (job.state === "working") return `working, held by ${job.worker_name ?? "a worker that is gone"}`;
  if (job.state === "waiting") return `waiting for the ${job.waiting_for ?? "upload"}, due ${age(job.due_at)}`;
  return job.due_at === null ? job.state : `${job.state}, due ${age(job.due_at)}`;
}

function describeGeneration(job: JobDetails): string {
  const live = job.live_generation === null ? "search sees none" : `search sees ${job.live_generation}`;
  return `${job.generation}, ${live}${job.is_newest ? "" : "; a later job has the document"}`;
}

function describeError({ last_error: error }: JobDetails): string {
  if (error === null) return "-";
  return `${error.code} in ${error.stage}${error.retryable ? ", transient" : ""}: ${error.message}`;
}

const count = z.number().optional().catch(undefined);
const counters = z.object({ pages_done: count, pages_total: count, chunks_done: count, chunks_total: count });

function percentOf(job: ListedJob): number {
  return progressPercent(job.status, counters.parse(job.progress));
}
