import { lastErrorRow, progressPercent, STATES, STATUSES, WAITING_FOR, type JobRow } from "@pipeline/db";
import { z } from "zod";
import { idParam } from "./id-param.ts";
import { isoTime } from "./iso-time.ts";

export const jobParams = z.object({ job_id: idParam });

/** A job as its owner sees it. */
export const jobBody = z
  .object({
    job_id: z.string(),
    document_id: z.string(),
    status: z.enum(STATUSES),
    state: z.enum(STATES),
    /** Percent, 0 to 100, and whatever the stages count. */
    progress: z.object({ percent: z.int() }).catchall(z.number()),
    retry_count: z.number(),
    last_error: lastErrorRow.nullable(),
    waiting_for: z.enum(WAITING_FOR).nullable(),
    due_at: isoTime.nullable(),
    upload_expires_at: isoTime.nullable(),
    correlation_id: z.string(),
    created_at: isoTime,
    updated_at: isoTime,
    finished_at: isoTime.nullable(),
  })
  .meta({ id: "Job" });
export type JobBody = z.output<typeof jobBody>;

export function presentJob(job: JobRow): JobBody {
  const { user_id: _, progress, ...facts } = job;
  return { ...facts, progress: presentProgress(job.status, progress) };
}

const count = z.number().optional().catch(undefined);
const knownCounters = z.object({ pages_done: count, pages_total: count, chunks_done: count, chunks_total: count });

function presentProgress(status: JobRow["status"], progress: JobRow["progress"]): JobBody["progress"] {
  const counters = Object.entries(progress).flatMap(([name, value]) =>
    typeof value === "number" ? [[name, value] as const] : [],
  );
  return { ...Object.fromEntries(counters), percent: progressPercent(status, knownCounters.parse(progress)) };
}
