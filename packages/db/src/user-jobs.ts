import type { JobCursor } from "./job-list.ts";
import type { State, Status } from "./pipeline.ts";
import { maybeOne, type Queryable } from "./queryable.ts";
import { JOB_COLUMNS, jobRow, type JobRow } from "./rows.ts";

export interface UserJobFilter {
  state?: State | undefined;
  status?: Status | undefined;
  document_id?: string | undefined;
}

/** This user's jobs, newest first, from behind the cursor on. */
export function listUserJobs(
  db: Queryable,
  input: { user_id: string; filter: UserJobFilter; before: JobCursor | undefined; limit: number },
): Promise<JobRow[]> {
  const { user_id, filter, before, limit } = input;
  return db.many(
    jobRow,
    // The bound on created_at alone is the one that an index can use.
    `select ${JOB_COLUMNS} from ${db.schema}.upload_jobs j
     where j.user_id = $1 and j.created_at <= coalesce($2::timestamptz, 'infinity')
       and ($2 is null or j.created_at < $2 or j.job_id > $3::uuid)
       and ($4::text is null or j.state = $4) and ($5::text is null or j.status = $5)
       and ($6::uuid is null or j.document_id = $6)
     order by j.created_at desc, j.job_id
     limit $7`,
    [
      user_id,
      before?.created_at ?? null,
      before?.job_id ?? null,
      filter.state ?? null,
      filter.status ?? null,
      filter.document_id ?? null,
      limit,
    ],
  );
}

/** The newest job of a document of this user. */
export function findNewestJob(
  db: Queryable,
  input: { user_id: string; document_id: string },
): Promise<JobRow | undefined> {
  return maybeOne(
    db,
    jobRow,
    `select ${JOB_COLUMNS} from ${db.schema}.upload_jobs j where j.document_id = $1 and j.user_id = $2
     order by j.generation desc limit 1`,
    [input.document_id, input.user_id],
  );
}
