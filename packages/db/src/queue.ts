import { z } from "zod";
import { STAGES } from "./pipeline.ts";
import type { Queryable } from "./queryable.ts";

/** jsonb of status → the stage that starts there. */
const STAGE_BY_STATUS = JSON.stringify(
  Object.fromEntries(STAGES.map((definition) => [definition.from, definition.stage])),
);

/**
 * Makes waiting and retryable jobs whose time has come claimable; answers how many. Those that never had a place in the
 * fair order get their user's next ones. The others keep theirs if it is still ahead, else come back one per turn from
 * the one now served, whether in one call or in many, so that a user's many retries do not go before everybody else.
 */
export function promoteDueJobs(db: Queryable, limit = 1_000): Promise<number> {
  return db.run(
    `with due as materialized (
       select job_id, user_id, turn, seq, turn = 0 as is_new,
         turn between 1 and (select last_value from ${db.schema}.served_turn) as is_late
       from ${db.schema}.upload_jobs
       where state in ('waiting', 'retryable') and due_at <= now()
       order by due_at
       limit $1
       for no key update skip locked
     ), first_turns as materialized (
       -- by user, so that two of these at once lock the users' counters in the same order
       select user_id, is_new,
         case when is_new then ${db.schema}.next_turns(user_id, count(*))
           else ${db.schema}.return_turns(user_id, count(*)) end as turn
       from due where is_new or is_late
       group by user_id, is_new order by user_id, is_new
     ), ranked as (
       select job_id, user_id, turn, is_new, is_late,
         row_number() over (partition by user_id, is_new, is_late order by turn, seq) - 1 as nth
       from due
     ), placed as (
       -- one object: joining a CTE could scan the whole table under a generic plan
       select jsonb_object_agg(r.job_id, coalesce(f.turn + r.nth, r.turn)) as turns
       from ranked r
       left join first_turns f on (r.is_new or r.is_late) and f.user_id = r.user_id and f.is_new = r.is_new
     )
     update ${db.schema}.upload_jobs j
     set state = 'queued', turn = ((select turns from placed) ->> j.job_id::text)::bigint, due_at = null,
         waiting_for = null, updated_at = now()
     where j.job_id = any (array(select job_id from due))`,
    [limit],
  );
}

/** The crash count of a rescued job `j` once this rescue has been counted. */
const CRASHES = "(j.crash_count + ((select crashes from counted) ->> j.job_id::text)::int)";

const rescuedRow = z.object({ job_id: z.string(), state: z.enum(["queued", "deadletter"]) });
export type RescuedJob = z.infer<typeof rescuedRow>;

/**
 * Takes jobs back from workers that died, that ended without them, or that overran a stage's deadline; the raised fence
 * shuts the old holder out.
 * A job that cost `maxCrashes` workers on one stage is dead-lettered as `poison_job`. Its last loss counts only if the worker
 * had nothing else in hand, since that may have been what killed it; and none counts if the server was started since the worker
 * was last heard, as that may be why it was not. But after `2 * (maxCrashes - 1)` losses since it was last redriven each counts. Lists
 * of claims that are over go, too.
 */
export function rescueJobs(db: Queryable, input: { maxCrashes: number; limit?: number }): Promise<RescuedJob[]> {
  return db.many(
    rescuedRow,
    // Looked for first, locked second, and only if the fence is still the same: a lock on the join would, once a job was
    // claimed anew in between, pair the new claim with the old session and take it from a live worker.
    `with suspect as materialized (
       select j.job_id, j.fence, s.session_id is null or s.ended_at is not null or s.expires_at <= now() as is_orphan,
         s.ended_at is null as is_loss, ${crashesOf(db.schema)} as crashes
       from ${db.schema}.session_claims c
       left join ${db.schema}.worker_sessions s on s.session_id = c.session_id
       cross join lateral unnest(c.job_ids) as listed (job_id)
       cross join lateral (
         select j.job_id, j.fence, j.status, j.crash_count from ${db.schema}.upload_jobs j
         where j.job_id = listed.job_id and j.state = 'working' and j.lease_session_id = c.session_id
           and (s.session_id is null or s.ended_at is not null or s.expires_at <= now() or j.lease_expires_at <= now())
         offset 0
       ) j
       limit $2
     ), stale as materialized (
       select locked.job_id, s.is_loss, s.crashes from suspect s cross join lateral (
         select j.job_id from ${db.schema}.upload_jobs j
         where j.job_id = s.job_id and j.fence = s.fence and j.state = 'working'
           and (s.is_orphan or j.lease_expires_at <= now())
         for no key update skip locked
       ) locked
     ), counted as materialized (
       -- one object: joining a CTE could scan the whole table under a generic plan
       select jsonb_object_agg(job_id, crashes) as crashes, jsonb_object_agg(job_id, is_loss) as is_loss from stale
     ), rescued as (
       update ${db.schema}.upload_jobs j
       set state = case when ${CRASHES} >= $1 then 'deadletter' else 'queued' end,
           finished_at = case when ${CRASHES} >= $1 then now() end,
           last_error = case when ${CRASHES} < $1 then j.last_error else jsonb_build_object(
             'stage', $3::jsonb ->> j.status, 'code', 'poison_job', 'retryable', false, 'at', now(),
             'message', 'The workers that processed this document kept dying.') end,
           crash_count = ${CRASHES}, fence = j.fence + 1,
           lease_session_id = null, lease_expires_at = null, updated_at = now()
       where j.job_id = any (array(select job_id from stale)) and j.state = 'working'
       returning j.job_id, j.status, j.state, j.fence, j.crash_count
     ), told as (
       insert into ${db.schema}.events (job_id, type, status, state, fence, code, detail)
       select job_id, case state when 'deadletter' then 'deadlettered' else 'rescued' end, status, state, fence,
         case state when 'deadletter' then 'poison_job' else 'worker_lost' end,
         jsonb_build_object('crash_count', crash_count, 'is_loss', (select is_loss from counted) -> job_id::text)
       from rescued
     ), cleared as (${clearLists(db.schema)})
     select job_id, state from rescued`,
    [input.maxCrashes, input.limit ?? 1_000, STAGE_BY_STATUS],
  );
}

/** How many crashes the loss of `j`, of the claim `c` and the session `s`, adds to those counted; $1 is too many. */
function crashesOf(schema: string): string {
  // A session that was ended is no crash: its process gave up what it could not account for.
  return `case when s.ended_at is not null then 0
           when (s.heartbeat_at < pg_postmaster_start_time()) is not true
             and (j.crash_count + 1 < $1 or not ${hasNeighbours(schema)}) then 1
           when ${countLosses(schema)} >= 2 * ($1 - 1) then 1
           else 0 end`;
}

/** Whether the session of the claim `c` holds jobs beside `j`. */
function hasNeighbours(schema: string): string {
  return `exists (
             select from ${schema}.session_claims own cross join lateral unnest(own.job_ids) as beside (job_id)
             cross join lateral (
               select from ${schema}.upload_jobs k
               where k.job_id = beside.job_id and k.state = 'working' and k.lease_session_id = own.session_id
               offset 0
             ) held
             where own.session_id = c.session_id and beside.job_id <> j.job_id)`;
}

/** How many workers `j` has cost on its stage since it was last redriven, counted or not. */
function countLosses(schema: string): string {
  return `(select count(*) from ${schema}.events e
             where e.job_id = j.job_id and e.status = j.status and e.type = 'rescued' and e.detail -> 'is_loss' = 'true'
               and e.event_id > coalesce((select max(r.event_id) from ${schema}.events r
                 where r.job_id = j.job_id and r.type = 'redriven'), 0))`;
}

/** Deletes the lists of claims none of whose jobs is held by their session any more. */
function clearLists(schema: string): string {
  return `
       delete from ${schema}.session_claims c
       where c.claim_id = any (array(
         select over.claim_id from ${schema}.session_claims over
         where not exists (
           select from unnest(over.job_ids) as listed (job_id) cross join lateral (
             select from ${schema}.upload_jobs j
             where j.job_id = listed.job_id and j.state = 'working' and j.lease_session_id = over.session_id
             offset 0
           ) held)
         for update skip locked))`;
}
