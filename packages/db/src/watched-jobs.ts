import { z } from "zod";
import type { Queryable } from "./queryable.ts";
import { eventRow, JOB_COLUMNS, jobRow, type EventRow, type JobRow } from "./rows.ts";

/** A job that somebody looks at, and what of it they have seen. */
export interface WatchedJob {
  job_id: string;
  user_id: string;
  /** As it was last answered; empty: nothing was seen yet. */
  version: string;
  /** The last event seen; null: of the history only the newest event is wanted. */
  after: number | null;
}

export interface ChangedJob {
  /** Which of the watched jobs this is. */
  index: number;
  job: JobRow;
  version: string;
  /** Those behind `after`, in order, MOST_EVENTS of them at most. */
  events: EventRow[];
}

/** Events of one job in one answer; where there are as many, there may be more. */
export const MOST_EVENTS = 50;

const nullableEvent = z.object({
  event_id: eventRow.shape.event_id.nullable(),
  event_type: eventRow.shape.type.nullable(),
  event_status: eventRow.shape.status.nullable(),
  event_state: eventRow.shape.state.nullable(),
  event_fence: eventRow.shape.fence.nullable(),
  event_code: eventRow.shape.code,
  event_detail: eventRow.shape.detail,
  event_correlation_id: eventRow.shape.correlation_id.nullable(),
  event_created_at: eventRow.shape.created_at.nullable(),
});
const changeRow = z.object({
  ...jobRow.shape,
  ...nullableEvent.shape,
  nth: z.number(),
  version: z.string(),
});
type ChangeRow = z.infer<typeof changeRow>;

/**
 * Those of the watched jobs that have changed since, each with its new events, as of one moment. One statement, however
 * many there are. Jobs of others, and jobs that are gone, do not change. Events of one job become visible in the order of
 * their ids, because whoever writes one holds the job's lock.
 */
export async function listChangedJobs(db: Queryable, watched: readonly WatchedJob[]): Promise<ChangedJob[]> {
  const rows = await db.many(
    changeRow,
    // xmin is the transaction that wrote the row as it stands: whatever changes the job changes it.
    `select ${JOB_COLUMNS}, j.version, w.nth, e.event_id, e.type as event_type, e.status as event_status,
       e.state as event_state, e.fence as event_fence, e.code as event_code, e.detail as event_detail,
       coalesce(e.correlation_id, j.correlation_id) as event_correlation_id, e.created_at as event_created_at
     from unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[]) with ordinality
       as w (job_id, user_id, version, after, nth)
     cross join lateral (
       -- by itself, so that no plan reads the table for it, however small it was when the planner last looked
       select ${JOB_COLUMNS}, j.xmin::text as version from ${db.schema}.upload_jobs j
       where j.job_id = w.job_id and j.user_id = w.user_id
       offset 0
     ) j
     left join lateral (
       select e.* from ${db.schema}.events e
       where e.job_id = j.job_id and e.event_id > coalesce(w.after,
         (select max(newest.event_id) - 1 from ${db.schema}.events newest where newest.job_id = j.job_id))
       order by e.event_id limit ${MOST_EVENTS}
     ) e on true
     where j.version <> w.version
     order by w.nth, e.event_id`,
    [
      watched.map((job) => job.job_id),
      watched.map((job) => job.user_id),
      watched.map((job) => job.version),
      watched.map((job) => job.after),
    ],
  );
  const changed = new Map<number, ChangedJob>();
  for (const row of rows) {
    const change = changed.get(row.nth) ?? {
      index: row.nth - 1,
      job: jobRow.parse(row),
      version: row.version,
      events: [],
    };
    const event = eventOf(row);
    if (event) change.events.push(event);
    changed.set(row.nth, change);
  }
  return [...changed.values()];
}

function eventOf(row: ChangeRow): EventRow | undefined {
  if (row.event_id === null) return undefined;
  return eventRow.parse({
    event_id: row.event_id,
    job_id: row.job_id,
    type: row.event_type,
    status: row.event_status,
    state: row.event_state,
    fence: row.event_fence,
    code: row.event_code,
    detail: row.event_detail,
    correlation_id: row.event_correlation_id,
    created_at: row.event_created_at,
  });
}

/** Those of these jobs that there are not any more. */
export async function listGoneJobs(db: Queryable, jobIds: readonly string[]): Promise<Set<string>> {
  const rows = await db.many(
    z.object({ job_id: z.string() }),
    `select w.job_id from unnest($1::uuid[]) as w (job_id)
     where not exists (select from ${db.schema}.upload_jobs j where j.job_id = w.job_id)`,
    [jobIds],
  );
  return new Set(rows.map((row) => row.job_id));
}
