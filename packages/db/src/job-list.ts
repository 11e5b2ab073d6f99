import { z } from "zod";
import { jobNotFound } from "./cancel.ts";
import type { State, Status } from "./pipeline.ts";
import { maybeOne, type Queryable } from "./queryable.ts";
import { JOB_COLUMNS, jobRow } from "./rows.ts";

/** A job with its document's name. */
const listedRow = jobRow.extend({ filename: z.string() });
export type ListedJob = z.infer<typeof listedRow>;

export interface JobFilter {
  state?: State;
  status?: Status;
  user_id?: string;
  /** Of the last error. */
  code?: string;
}

/** Where a page of jobs ended. */
export interface JobCursor {
  created_at: Date;
  job_id: string;
}

/** Newest first, from behind the cursor on; of every user where the filter names none. */
export function listJobs(
  db: Queryable,
  input: { filter: JobFilter; before: JobCursor | undefined; limit: number },
): Promise<ListedJob[]> {
  const { filter, before, limit } = input;
  return db.many(
    listedRow,
    // The bound on created_at alone is the one that an index can use.
    `select ${JOB_COLUMNS}, d.filename
     from ${db.schema}.upload_jobs j join ${db.schema}.documents d on d.document_id = j.document_id
     where ($1::text is null or j.state = $1) and ($2::text is null or j.status = $2)
       and ($3::uuid is null or j.user_id = $3) and ($4::text is null or j.last_error ->> 'code' = $4)
       and j.created_at <= coalesce($5::timestamptz, 'infinity')
       and ($5 is null or j.created_at < $5 or j.job_id > $6::uuid)
     order by j.created_at desc, j.job_id
     limit $7`,
    [
      filter.state ?? null,
      filter.status ?? null,
      filter.user_id ?? null,
      filter.code ?? null,
      before?.created_at ?? null,
      before?.job_id ?? null,
      limit,
    ],
  );
}

const detailsRow = listedRow.extend({
  generation: z.number(),
  priority: z.number(),
  turn: z.number(),
  fence: z.number(),
  crash_count: z.number(),
  lease_session_id: z.string().nullable(),
  lease_expires_at: z.date().nullable(),
  /** Of the worker that holds it. */
  worker_name: z.string().nullable(),
  mime: z.string(),
  bytes_len: z.number(),
  live_generation: z.number().nullable(),
  is_newest: z.boolean(),
});
export type JobDetails = z.infer<typeof detailsRow>;

/** Everything about a job of any user, for operators. Throws `job_not_found`. */
export async function getJobDetails(db: Queryable, jobId: string): Promise<JobDetails> {
  const job = await maybeOne(
    db,
    detailsRow,
    `select ${JOB_COLUMNS}, j.generation, j.priority, j.turn, j.fence, j.crash_count, j.lease_session_id,
       j.lease_expires_at, s.worker_name, d.filename, d.mime, d.bytes_len, d.live_generation,
       not exists (select from ${db.schema}.upload_jobs n
         where n.document_id = j.document_id and n.generation > j.generation) as is_newest
     from ${db.schema}.upload_jobs j
     join ${db.schema}.documents d on d.document_id = j.document_id
     left join ${db.schema}.worker_sessions s on s.session_id = j.lease_session_id
     where j.job_id = $1`,
    [jobId],
  );
  if (!job) throw jobNotFound();
  return job;
}
