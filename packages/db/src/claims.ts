import { LEASE_MS_BY_STATUS } from "./leases.ts";
import type { Database } from "./database.ts";
import type { Queryable } from "./queryable.ts";
import { claimRow, type Claim } from "./rows.ts";

export interface ClaimRequest {
  /** Live, or nothing is claimed. */
  session_id: string;
  /** Most jobs to take. */
  limit: number;
  /** Only jobs of this turn and later ones are looked at: a hint that saves time, see `createClaimer`. */
  fromTurn?: number | undefined;
  /** Most jobs of one user in the hands of all workers together. Needs a transaction around the call. */
  maxPerUser?: number | undefined;
}

/**
 * Takes up to `limit` queued jobs in fair order for a live session and raises their fences. Answers fewer when fewer
 * are free, none when the session has expired or claiming is paused.
 */
export async function claimJobs(db: Queryable, request: ClaimRequest): Promise<Claim[]> {
  const { session_id, limit, fromTurn = 0, maxPerUser } = request;
  if (maxPerUser !== undefined) await lockCappedClaims(db);
  const cap = maxPerUser === undefined ? [] : [maxPerUser];
  return db.many(
    claimRow,
    // Jobs are locked before anything is done about their row in ready_jobs, as by everybody else. That row is the current
    // one of the job if fence and place agree, so nobody else may remove it until this statement is committed.
    `with ${findJobs(db.schema, maxPerUser === undefined ? "all" : "capped")}, claimed as (
       update ${db.schema}.upload_jobs j
       set state = 'working', fence = j.fence + 1, lease_session_id = $1,
           lease_expires_at = now() + (($3::jsonb ->> j.status)::int * interval '1 ms'), updated_at = now()
       where j.job_id = any (array(select job_id from taken))
       returning j.job_id, j.document_id, j.user_id, j.correlation_id, j.status, j.fence, j.generation, j.retry_count,
         extract(epoch from now() - j.created_at)::float8 as age_seconds,
         j.upload_expires_at <= now() as upload_is_expired, j.turn, j.priority, j.seq
     ), removed as (
       delete from ${db.schema}.ready_jobs r where r.ctid = any (array(select row_id from taken))
     ), listed as (
       insert into ${db.schema}.session_claims (session_id, job_ids)
       select $1, array_agg(job_id) from taken having count(*) > 0
     ), served as materialized (
       select setval('${db.schema}.served_turn', max(turn)) from claimed
       having max(turn) > (select last_value from ${db.schema}.served_turn)
     )
     select c.job_id, c.document_id, c.user_id, c.correlation_id, c.status, c.fence, c.generation, c.retry_count,
       c.age_seconds, c.upload_is_expired, c.turn, c.priority, c.seq,
       d.filename, d.mime, d.bytes_len, d.file_sha256, d.raw_path, d.title
     from claimed c join ${db.schema}.documents d on d.document_id = c.document_id
     left join served on true
     order by c.turn, c.priority, c.seq`,
    [session_id, limit, LEASE_MS_BY_STATUS, fromTurn, ...cap],
  );
}

export interface Claimer {
  /** `claimJobs`, with what was learnt from earlier calls. */
  claim(request: Omit<ClaimRequest, "fromTurn">): Promise<Claim[]>;
}

/** How long a job that became claimable before the turn now being served may be overlooked. */
const OVERLOOKED_MS = 1_000;

/**
 * Claims for one process. It goes on at the turn where its last claim ended, so that rows that were removed from the queue
 * before that cost nothing: while some transaction keeps old rows visible, they are not cleared away, and each claim would
 * read all of them. Because turns are given out and become visible out of order, it starts over when a claim comes short,
 * for the rest of it, and at least every second.
 */
export function createClaimer(database: Database): Claimer {
  let fromTurn: number | undefined;
  let startedOverAt = Number.NEGATIVE_INFINITY;

  const claimFrom = async (turn: number | undefined, request: ClaimRequest): Promise<Claim[]> => {
    if (turn === undefined) startedOverAt = performance.now();
    const claims = await claimJobs(database, { ...request, fromTurn: turn });
    fromTurn = claims.length < request.limit ? undefined : claims.at(-1)?.turn;
    return claims;
  };
  return {
    claim: async (request) => {
      if (request.maxPerUser !== undefined) return database.transaction((tx) => claimJobs(tx, request));
      const turn = performance.now() - startedOverAt > OVERLOOKED_MS ? undefined : fromTurn;
      const claims = await claimFrom(turn, request);
      if (turn === undefined || claims.length === request.limit) return claims;
      return [...claims, ...(await claimFrom(undefined, { ...request, limit: request.limit - claims.length }))];
    },
  };
}

/** How much longer a suspect waits for company with one crash more. */
const SUSPECT_WAIT_MS = 1_500;

/**
 * Suspects: of the jobs that a worker had in hand when it died, one may have killed it, and those that are claimed
 * together with that one again would die with it until they count as poison too. So a suspect waits for a session without
 * another; in time for the promised 20 s it is taken beside one, but never two that lost two workers each.
 */
function mayMeet(suspect: string, other: string): string {
  return `(${suspect} + ${other} <= 3
         and j.updated_at <= now() - (${suspect} + ${other} - 1) * interval '${SUSPECT_WAIT_MS} ms')`;
}

/**
 * Places that one claim looks at, most of which it only does where others are claiming them too. Without a limit the planner
 * would sort the whole queue. A hundred users at their cap, or a thousand suspects, hide nobody.
 */
const LOOKED_AT = "2000 + 2 * $2::int";

/**
 * Common table expressions up to `taken`: `job_id` and `row_id` (in ready_jobs) of the jobs to claim, their jobs locked.
 * `$1` is the session, `$2` the limit, `$4` the turn from which to look.
 */
function findJobs(schema: string, users: "all" | "capped"): string {
  return `alive as materialized (
       select set_config('upload_pipeline.is_claiming', 'on', true) as is_claiming
       from ${schema}.worker_sessions s
       where s.session_id = $1 and s.ended_at is null and s.expires_at > now()
         and not exists (select from ${schema}.queue_control where paused_at is not null)
     ), in_hand as materialized (
       select coalesce(max(j.crash_count), 0) as crashes
       from ${heldJobs(schema)} where c.session_id = $1
     ), ready as materialized (
       ${users === "all" ? placesOf(`${schema}.ready_jobs r`) : cappedPlaces(schema)}
     ), found as materialized (
       select r.row_id, r.turn, r.priority, r.seq, j.job_id, j.crash_count, j.updated_at
       from ready r cross join lateral (
         select j.job_id, j.crash_count, j.updated_at
         from ${schema}.upload_jobs j
         where j.job_id = r.job_id and j.state = 'queued' and j.fence = r.fence and j.turn = r.turn
           and j.priority = r.priority and (j.crash_count = 0 or (select crashes from in_hand) = 0
             or ${mayMeet("j.crash_count", "(select crashes from in_hand)")})
         for no key update skip locked
       ) j
       where (select is_claiming from alive) = 'on'
       limit $2
     ), worst as materialized (
       select seq, crash_count from found where crash_count > 0 order by crash_count desc, turn, priority, seq limit 1
     ), taken as materialized (
       select row_id, job_id from found j
       where j.crash_count = 0 or j.seq = (select seq from worst)
         or ${mayMeet("j.crash_count", "(select crash_count from worst)")}
     )`;
}

/** The next places of the queue, in order. */
function placesOf(from: string): string {
  return `select r.ctid as row_id, r.turn, r.priority, r.seq, r.job_id, r.fence, r.user_id from ${from}
       where r.turn >= $4::bigint
       order by r.turn, r.priority, r.seq
       limit ${LOOKED_AT}`;
}

/** Of the next places those that leave every user within the cap, `$5`, counting what all workers have in hand. */
function cappedPlaces(schema: string): string {
  return `with held as materialized (
         select j.user_id, count(distinct j.job_id) as held_count from ${heldJobs(schema)} group by j.user_id
       ), next as materialized (
         ${placesOf(`(
           select r.ctid, r.* from ${schema}.ready_jobs r
           where not exists (select from held h where h.user_id = r.user_id and h.held_count >= $5::int)) r`)}
       )
       select n.row_id, n.turn, n.priority, n.seq, n.job_id, n.fence from (
         select next.*, row_number() over (partition by user_id order by turn, priority, seq) as nth from next
       ) n
       left join held h on h.user_id = n.user_id
       where n.nth + coalesce(h.held_count, 0) <= $5::int
       order by n.turn, n.priority, n.seq`;
}

/** Jobs `j` in hand, with their list of claims `c`; a job that was given back and claimed again can be on two. */
function heldJobs(schema: string): string {
  return `${schema}.session_claims c
       cross join lateral unnest(c.job_ids) as listed (job_id)
       cross join lateral (
         select j.job_id, j.user_id, j.crash_count from ${schema}.upload_jobs j
         where j.job_id = listed.job_id and j.state = 'working' and j.lease_session_id = c.session_id
         offset 0
       ) j`;
}

/** Claims under a cap take turns, because each must see what the others took; in a statement before the one that counts. */
async function lockCappedClaims(tx: Queryable): Promise<void> {
  await tx.run("select pg_advisory_xact_lock(hashtextextended($1, 0))", [`${tx.schema} capped claims`]);
}
