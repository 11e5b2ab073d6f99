import { z } from "zod";
import type { Queryable } from "./queryable.ts";
import { NEEDS_UPLOAD, type RedriveFilter } from "./redrive.ts";
import { JOB_COLUMNS, jobRow } from "./rows.ts";

const deadLetterRow = jobRow.extend({
  /** Its place in the list. */
  seq: z.number(),
  filename: z.string(),
  /** Only a new upload helps. */
  needs_upload: z.boolean(),
});
export type DeadLetter = z.infer<typeof deadLetterRow>;

/** Dead letters, oldest job first as `redriveJobs` takes them, from behind `after` on. */
export function listDeadLetters(
  db: Queryable,
  input: { filter: Omit<RedriveFilter, "limit">; after: number; limit: number },
): Promise<DeadLetter[]> {
  const { filter, after, limit } = input;
  return db.many(
    deadLetterRow,
    `select ${JOB_COLUMNS}, j.seq, d.filename, ${NEEDS_UPLOAD} as needs_upload
     from ${db.schema}.upload_jobs j join ${db.schema}.documents d on d.document_id = j.document_id
     where j.is_dead_letter and j.seq > $1
       and ($2::text is null or j.last_error ->> 'code' = $2)
       and ($3::text is null or j.last_error ->> 'stage' = $3)
       and ($4::timestamptz is null or j.finished_at < $4)
       and ($5::uuid is null or j.user_id = $5)
     order by j.seq
     limit $6`,
    [after, filter.code ?? null, filter.stage ?? null, filter.before ?? null, filter.user_id ?? null, limit],
  );
}
