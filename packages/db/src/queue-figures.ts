import { z } from "zod";
import { one, type Queryable } from "./queryable.ts";

/** States whose jobs are counted; the ends `done` and `cancelled` stand in no index and would have to be read whole. */
export const COUNTED_STATES = ["queued", "working", "waiting", "retryable", "deadletter"] as const;

/** At most so many queued jobs are counted, and dead letters. */
export const MOST_COUNTED = 100_000;
/** At most so many waiting and retryable jobs together: whether a job is one or the other stands in its row alone. */
export const MOST_DEFERRED_COUNTED = 10_000;
/** Dead letters count as recent for so long. */
export const RECENT_MINUTES = 15;

const count = z.number();
const seconds = z.number().nullable();
const figuresRow = z.object({
  queued_count: count,
  working_count: count,
  waiting_count: count,
  retryable_count: count,
  deadletter_count: count,
  /** For how long the one that waits longest has been claimable; null where there is none. */
  queued_seconds: seconds,
  /** Since the oldest of them was created; null where there is none. */
  working_seconds: seconds,
  waiting_seconds: seconds,
  retryable_seconds: seconds,
  deadletter_seconds: seconds,
  /** For how long the slowest job has been in a worker's hand or at the parsing provider; null where there is none. */
  processing_seconds: seconds,
  /** For how long the same reason has kept a job that is to be tried again later; null where there is none. */
  set_aside_seconds: seconds,
  recent_deadletter_count: count,
  live_worker_count: count,
  /** Since any worker was last heard; null where none ever was. */
  heartbeat_seconds: seconds,
  is_paused: z.boolean(),
});
export type QueueFigures = z.infer<typeof figuresRow>;

const age = (time: string): string => `extract(epoch from now() - ${time})::float8`;

/** Of so many at most it is asked since when they wait. */
const MOST_ASKED = 500;

/**
 * The queue in one look whose cost does not grow with the number of jobs: counts end at a limit, and ages are of the
 * oldest among those counted.
 */
export function getQueueFigures(db: Queryable): Promise<QueueFigures> {
  const { schema } = db;
  return one(
    db,
    figuresRow,
    `with queued as materialized (
       select turn, priority, seq from ${schema}.ready_jobs order by turn, priority, seq limit ${MOST_COUNTED}
     ), deferred as materialized (
       select job_id, state, created_at from ${schema}.upload_jobs
       where due_at is not null order by due_at limit ${MOST_DEFERRED_COUNTED}
     ), dead as materialized (
       select seq from ${schema}.upload_jobs where is_dead_letter order by seq limit ${MOST_COUNTED}
     ), dead_lately as materialized (
       select finished_at from ${schema}.upload_jobs where is_dead_letter order by seq desc limit 1000
     ), held as materialized (${heldJobs(schema)})
     select (select count(*) from queued) as queued_count,
       (select count(*) from held) as working_count,
       (select count(*) from deferred where state = 'waiting') as waiting_count,
       (select count(*) from deferred where state = 'retryable') as retryable_count,
       (select count(*) from dead) as deadletter_count,
       (${queuedSeconds(schema)}) as queued_seconds,
       (select ${age("min(created_at)")} from held) as working_seconds,
       (select ${age("min(created_at)")} from deferred where state = 'waiting') as waiting_seconds,
       (select ${age("min(created_at)")} from deferred where state = 'retryable') as retryable_seconds,
       (select ${age("created_at")} from ${schema}.upload_jobs where is_dead_letter order by seq limit 1)
         as deadletter_seconds,
       greatest((select ${age("min(claimed_at)")} from held),
         (select ${age("min(created_at)")} from (${submissionsInUse(schema)}) p)) as processing_seconds,
       (${setAsideSeconds(schema)}) as set_aside_seconds,
       (select count(*) from dead_lately where finished_at > now() - interval '${RECENT_MINUTES} min')
         as recent_deadletter_count,
       (select count(*) from ${schema}.worker_sessions where ended_at is null and expires_at > now())
         as live_worker_count,
       (select ${age("max(heartbeat_at)")} from ${schema}.worker_sessions) as heartbeat_seconds,
       (select paused_at is not null from ${schema}.queue_control) as is_paused`,
  );
}

/**
 * A queued job's row is touched when it becomes claimable and not again, so `updated_at` says since when it waits, however old
 * the job is. The one that waits longest is among the next to be claimed, or, where many users take turns, among the oldest.
 */
function queuedSeconds(schema: string): string {
  return `
       select ${age("min(j.updated_at)")}
       from (
         (select turn, priority, seq from ${schema}.ready_jobs order by turn, priority, seq limit ${MOST_ASKED})
         union (select turn, priority, seq from queued order by seq limit ${MOST_ASKED})
       ) q
       cross join lateral (
         select r.job_id from ${schema}.ready_jobs r
         where r.turn = q.turn and r.priority = q.priority and r.seq = q.seq
         offset 0
       ) r
       cross join lateral (
         select j.updated_at from ${schema}.upload_jobs j where j.job_id = r.job_id and j.state = 'queued'
         offset 0
       ) j`;
}

/** A job that looks again and is set aside for the same reason gets no new event: its last one tells since when. */
function setAsideSeconds(schema: string): string {
  return `
       select ${age("min(e.created_at)")}
       from (select job_id from deferred where state = 'retryable' order by created_at limit ${MOST_ASKED}) d
       cross join lateral (
         select e.created_at from ${schema}.events e where e.job_id = d.job_id order by e.event_id desc limit 1
       ) e`;
}

/** Jobs in hand with the time of their last claim: a job that was given back and claimed again can be on two lists. */
function heldJobs(schema: string): string {
  return `
       select j.job_id, min(j.created_at) as created_at, max(c.claimed_at) as claimed_at
       from ${schema}.session_claims c
       cross join lateral unnest(c.job_ids) as listed (job_id)
       cross join lateral (
         select j.job_id, j.created_at from ${schema}.upload_jobs j
         where j.job_id = listed.job_id and j.state = 'working' and j.lease_session_id = c.session_id
         offset 0
       ) j
       group by j.job_id limit ${MOST_DEFERRED_COUNTED}`;
}

/** A job at its end can leave its submission open: a dead letter keeps it for a redrive, and nobody waits for it. */
function submissionsInUse(schema: string): string {
  return `
       select p.created_at from ${schema}.provider_jobs p
       cross join lateral (
         select j.state from ${schema}.upload_jobs j where j.job_id = p.job_id
         offset 0
       ) j
       where p.ended_at is null and j.state in ('queued', 'working', 'waiting', 'retryable')
       limit ${MOST_DEFERRED_COUNTED}`;
}

const spentRow = z.object({
  provider: z.string(),
  request_count: z.number(),
  token_count: z.number(),
  page_count: z.number(),
  cost_usd: z.number(),
});
export type SpentToday = z.infer<typeof spentRow>;

/** What was paid today (UTC) to each provider, by everybody; what is perhaps billed counts. */
export function listSpentToday(db: Queryable): Promise<SpentToday[]> {
  return db.many(
    spentRow,
    `select provider, sum(request_count + lost_request_count)::bigint as request_count,
       sum(token_count)::bigint as token_count, sum(page_count)::bigint as page_count,
       sum(cost_usd + lost_usd)::float8 as cost_usd
     from ${db.schema}.spending where day = (now() at time zone 'utc')::date group by provider order by provider`,
  );
}
