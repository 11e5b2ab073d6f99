import { z } from "zod";
import { one, type Queryable } from "./queryable.ts";
import type { Hold } from "./rows.ts";

export interface SessionIdentity {
  worker_name: string;
  hostname: string;
  pid: number;
}

/** Registers this run of a worker; it may hold jobs until it misses heartbeats for `leaseMs`. Answers the session id. */
export async function openSession(db: Queryable, input: SessionIdentity & { leaseMs: number }): Promise<string> {
  const row = await one(
    db,
    z.object({ session_id: z.string() }),
    `insert into ${db.schema}.worker_sessions (worker_name, hostname, pid, expires_at)
     values ($1, $2, $3, now() + $4::float8 * interval '1 ms')
     returning session_id`,
    [input.worker_name, input.hostname, input.pid, input.leaseMs],
  );
  return row.session_id;
}

/** Prolongs the session. False: it had expired or ended, and stays so; whatever it held may be another's by now. */
export async function heartbeat(db: Queryable, input: { session_id: string; leaseMs: number }): Promise<boolean> {
  const updated = await db.run(
    `update ${db.schema}.worker_sessions
     set heartbeat_at = now(), expires_at = now() + $2::float8 * interval '1 ms'
     where session_id = $1 and ended_at is null and expires_at > now()`,
    [input.session_id, input.leaseMs],
  );
  return updated === 1;
}

/** Of the claims that a worker believes it holds, those that it does not hold any more. */
export async function listLostClaims(db: Queryable, holds: readonly Hold[]): Promise<Set<string>> {
  if (holds.length === 0) return new Set();
  const held = await db.many(
    z.object({ job_id: z.string(), fence: z.number() }),
    `select job_id, fence from ${db.schema}.upload_jobs where job_id = any ($1::uuid[]) and state = 'working'`,
    [holds.map((hold) => hold.job_id)],
  );
  const fences = new Map(held.map((row) => [row.job_id, row.fence]));
  return new Set(holds.filter((hold) => fences.get(hold.job_id) !== hold.fence).map((hold) => hold.job_id));
}

export async function endSession(db: Queryable, sessionId: string): Promise<void> {
  await db.run(`update ${db.schema}.worker_sessions set ended_at = now() where session_id = $1 and ended_at is null`, [
    sessionId,
  ]);
}

const liveRow = z.object({ live_count: z.number(), last_heartbeat_at: z.date().nullable() });

/** Workers alive now, and when any worker was last heard. */
export function getWorkerHealth(db: Queryable): Promise<z.infer<typeof liveRow>> {
  return one(
    db,
    liveRow,
    `select count(*) filter (where ended_at is null and expires_at > now())::int as live_count,
       max(heartbeat_at) as last_heartbeat_at
     from ${db.schema}.worker_sessions`,
  );
}

const sessionRow = z.object({
  session_id: z.string(),
  worker_name: z.string(),
  hostname: z.string(),
  pid: z.number(),
  started_at: z.date(),
  heartbeat_at: z.date(),
  expires_at: z.date(),
  ended_at: z.date().nullable(),
  is_live: z.boolean(),
  /** Jobs that it holds. */
  job_count: z.number(),
});
export type WorkerSession = z.infer<typeof sessionRow>;

/** Runs of workers: those alive first, then those heard of last. */
export function listWorkerSessions(db: Queryable, limit: number): Promise<WorkerSession[]> {
  return db.many(
    sessionRow,
    `select s.session_id, s.worker_name, s.hostname, s.pid, s.started_at, s.heartbeat_at, s.expires_at, s.ended_at,
       s.ended_at is null and s.expires_at > now() as is_live,
       (select count(distinct j.job_id)
        from ${db.schema}.session_claims c cross join lateral unnest(c.job_ids) as listed (job_id)
        join ${db.schema}.upload_jobs j on j.job_id = listed.job_id
        where c.session_id = s.session_id and j.state = 'working' and j.lease_session_id = s.session_id) as job_count
     from ${db.schema}.worker_sessions s
     order by is_live desc, s.heartbeat_at desc, s.session_id
     limit $1`,
    [limit],
  );
}
