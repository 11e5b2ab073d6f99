import { z } from "zod";
import type { JobCursor } from "./job-list.ts";
import type { State, Status } from "./pipeline.ts";
import { maybeOne, type Queryable } from "./queryable.ts";
import { JOB_COLUMNS, jobRow, type JobRow } from "./rows.ts";

export interface UserJobFilter {
  state?: State | undefined;
  status?: Status | undefined;
  document_id?: string | undefined;
}

export interface UserJobList {
  user_id: string;
  filter: UserJobFilter;
  before: JobCursor | undefined;
  /** The last one that is looked at; undefined: all are. */
  upTo?: JobCursor | undefined;
  limit: number;
}

/** This user's jobs, newest first, from behind the cursor on. */
export function listUserJobs(db: Queryable, input: UserJobList): Promise<JobRow[]> {
  const { user_id, filter, before, upTo, limit } = input;
  return db.many(
    jobRow,
    // The bound on created_at alone is the one that an index can use.
    `select ${JOB_COLUMNS} from ${db.schema}.upload_jobs j
     where j.user_id = $1 and j.created_at <= coalesce($2::timestamptz, 'infinity')
       and ($2 is null or j.created_at < $2 or j.job_id > $3::uuid)
       and j.created_at >= coalesce($8::timestamptz, '-infinity')
       and ($8 is null or j.created_at > $8 or j.job_id <= $9::uuid)
       and ($4::text is null or j.state = $4) and ($5::text is null or j.status = $5)
       and ($6::uuid is null or j.document_id = $6)
     order by j.created_at desc, j.job_id
     limit $7`,
    [
      user_id,
      ...placeOf(before),
      filter.state ?? null,
      filter.status ?? null,
      filter.document_id ?? null,
      limit,
      ...placeOf(upTo),
    ],
  );
}

/** The job that is `steps` behind the cursor, so that a filter that few pass does not read all of a user's. */
export function findUserJobBehind(
  db: Queryable,
  input: { user_id: string; before: JobCursor | undefined; steps: number },
): Promise<JobCursor | undefined> {
  return maybeOne(
    db,
    z.object({ created_at: z.date(), job_id: z.string() }),
    `select j.created_at, j.job_id from ${db.schema}.upload_jobs j
     where j.user_id = $1 and j.created_at <= coalesce($2::timestamptz, 'infinity')
       and ($2 is null or j.created_at < $2 or j.job_id > $3::uuid)
     order by j.created_at desc, j.job_id
     offset $4 - 1 limit 1`,
    [input.user_id, ...placeOf(input.before), input.steps],
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
    { prepare: true },
  );
}

function placeOf(cursor: JobCursor | undefined): [Date | null, string | null] {
  return cursor ? [cursor.created_at, cursor.job_id] : [null, null];
}
