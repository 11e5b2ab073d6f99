import { STAGES, type ListedJob, type QueueControl } from "@pipeline/db";
import { z } from "zod";
import { idField } from "./id-param.ts";
import { isoTime } from "./iso-time.ts";
import { jobBody, presentJob } from "./job-body.ts";
import { isStorable } from "./text.ts";

/** A job as operators see it. */
export const adminJob = jobBody.extend({ user_id: z.string(), filename: z.string() });

export function presentAdminJob(job: ListedJob): z.output<typeof adminJob> {
  const { user_id, filename, ...facts } = job;
  return { ...presentJob({ ...facts, user_id }), user_id, filename };
}

/** Whether workers claim. */
export const controlBody = z.object({
  /** Since when they do not; null: they do. */
  paused_at: isoTime.nullable(),
  paused_by: z.string().nullable(),
  reason: z.string().nullable(),
}) satisfies z.ZodType<QueueControl>;

/** Which dead letters are meant. */
export const deadLetterFilter = z.strictObject({
  /** Of the error that ended them. */
  code: z.string().max(100).refine(isStorable, { error: "must be well-formed Unicode without NUL" }).optional(),
  stage: z.enum(STAGES.map((definition) => definition.stage)).optional(),
  /** Those that ended before this moment. */
  before: isoTime.optional(),
  user_id: idField.optional(),
});

/** The filter without what was not asked for. */
export function chosen(filter: z.output<typeof deadLetterFilter>) {
  const { code, stage, before, user_id } = filter;
  return {
    ...(code === undefined ? {} : { code }),
    ...(stage === undefined ? {} : { stage }),
    ...(before === undefined ? {} : { before }),
    ...(user_id === undefined ? {} : { user_id }),
  };
}
