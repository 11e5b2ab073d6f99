import { z } from "zod";
import { EVENT_TYPES, STAGES, STATES, STATUSES, WAITING_FOR } from "./pipeline.ts";

const stageNames = STAGES.map((definition) => definition.stage);

/** A JSON object as it stands in a jsonb column. */
export const jsonObject = z.record(z.string(), z.unknown());

/** Why a job's last attempt failed; `at` is ISO 8601 in UTC, as the database wrote it. */
export const lastErrorRow = z.object({
  stage: z.enum(stageNames),
  code: z.string(),
  message: z.string(),
  retryable: z.boolean(),
  at: z.string(),
});
export type LastError = z.infer<typeof lastErrorRow>;

/** A job as its owner may see it. */
export const jobRow = z.object({
  job_id: z.string(),
  document_id: z.string(),
  user_id: z.string(),
  correlation_id: z.string(),
  status: z.enum(STATUSES),
  state: z.enum(STATES),
  progress: jsonObject,
  retry_count: z.number(),
  last_error: lastErrorRow.nullable(),
  waiting_for: z.enum(WAITING_FOR).nullable(),
  due_at: z.date().nullable(),
  upload_expires_at: z.date().nullable(),
  created_at: z.date(),
  updated_at: z.date(),
  finished_at: z.date().nullable(),
});
export type JobRow = z.infer<typeof jobRow>;

/** The columns of `jobRow`, for `select` and `returning` on the alias `j`. */
export const JOB_COLUMNS = Object.keys(jobRow.shape)
  .map((column) => `j.${column}`)
  .join(", ");

export const documentRow = z.object({
  document_id: z.string(),
  user_id: z.string(),
  filename: z.string(),
  mime: z.string(),
  bytes_len: z.number(),
  file_sha256: z.string(),
  raw_path: z.string(),
  processing_status: z.enum(STATUSES),
  title: z.string().nullable(),
  page_count: z.number().nullable(),
  metadata: jsonObject,
  live_generation: z.number().nullable(),
  created_at: z.date(),
  updated_at: z.date(),
});
export type DocumentRow = z.infer<typeof documentRow>;

export const DOCUMENT_COLUMNS = Object.keys(documentRow.shape)
  .map((column) => `d.${column}`)
  .join(", ");

/** A job that this worker now holds: every write names `job_id` and `fence`. */
export const claimRow = z.object({
  job_id: z.string(),
  document_id: z.string(),
  user_id: z.string(),
  correlation_id: z.string(),
  status: z.enum(STATUSES),
  fence: z.number(),
  generation: z.number(),
  retry_count: z.number(),
  /** Its place in the fair order. */
  turn: z.number(),
  priority: z.number(),
  seq: z.number(),
  /** Seconds since the job was created, by the database's clock. */
  age_seconds: z.number(),
  /** Null when no upload was promised (a row inserted by hand). */
  upload_is_expired: z.boolean().nullable(),
  filename: z.string(),
  mime: z.string(),
  bytes_len: z.number(),
  file_sha256: z.string(),
  raw_path: z.string(),
  title: z.string().nullable(),
});
export type Claim = z.infer<typeof claimRow>;

/** What a claim must show for a write to count. */
export interface Hold {
  job_id: string;
  fence: number;
}

export const eventRow = z.object({
  event_id: z.number(),
  job_id: z.string(),
  type: z.enum(EVENT_TYPES),
  status: z.enum(STATUSES),
  state: z.enum(STATES),
  fence: z.number(),
  code: z.string().nullable(),
  detail: jsonObject.nullable(),
  correlation_id: z.string(),
  created_at: z.date(),
});
export type EventRow = z.infer<typeof eventRow>;
