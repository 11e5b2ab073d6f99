import type { Queryable } from "@pipeline/db";
import { z } from "zod";

/**
 * What this harness asks the database. Here and in `checks.ts` and not in packages/db, because it looks at the product
 * from outside and no part of the product needs it.
 */

const heldRow = z.object({
  job_id: z.string(),
  fence: z.number(),
  crash_count: z.number(),
  status: z.string(),
  pid: z.number(),
  started_at: z.date(),
  /** Its session had expired before that: the rescue sees to it. */
  was_lost: z.boolean(),
  updated_at: z.date(),
});
export type HeldJob = z.infer<typeof heldRow>;

/** Jobs in the hands of these processes; a pid may have been another process's before. */
export function listHeldJobs(db: Queryable, pids: readonly number[]): Promise<HeldJob[]> {
  return db.many(
    heldRow,
    `select j.job_id, j.fence, j.crash_count, j.status, j.updated_at, s.pid, s.started_at,
       s.ended_at is null and s.expires_at <= now() as was_lost
     from ${db.schema}.upload_jobs j join ${db.schema}.worker_sessions s on s.session_id = j.lease_session_id
     where j.state = 'working' and s.pid = any ($1::int[])`,
    [pids],
  );
}

/** Who holds one job, if somebody does. */
export async function findHolder(db: Queryable, jobId: string): Promise<HeldJob | undefined> {
  const rows = await db.many(
    heldRow,
    `select j.job_id, j.fence, j.crash_count, j.status, j.updated_at, s.pid, s.started_at,
       s.ended_at is null and s.expires_at <= now() as was_lost
     from ${db.schema}.upload_jobs j join ${db.schema}.worker_sessions s on s.session_id = j.lease_session_id
     where j.state = 'working' and j.job_id = $1`,
    [jobId],
  );
  return rows[0];
}

/**
 * Whether this process holds a job that lost so many workers on its stage, or may be getting one: a claim under way is not
 * seen before it is through, but the job that it takes is seen waiting.
 */
export async function mayHoldSuspect(db: Queryable, suspect: { pid: number; crashes: number }): Promise<boolean> {
  const rows = await db.many(
    z.object({ found: z.boolean() }),
    `select exists (
       select from ${db.schema}.upload_jobs j
       left join ${db.schema}.worker_sessions s on s.session_id = j.lease_session_id
       where j.crash_count >= $2 and (j.state = 'queued' or (j.state = 'working' and s.pid = $1))) as found`,
    [suspect.pid, suspect.crashes],
  );
  return rows[0]?.found ?? true;
}

const jobRow = z.object({
  job_id: z.string(),
  fence: z.number(),
  state: z.string(),
  status: z.string(),
  updated_at: z.date(),
  seen_at: z.date(),
});
export type SeenJob = z.infer<typeof jobRow>;

export function listJobs(db: Queryable, jobIds: readonly string[]): Promise<SeenJob[]> {
  return db.many(
    jobRow,
    `select job_id, fence, state, status, updated_at, clock_timestamp() as seen_at
     from ${db.schema}.upload_jobs where job_id = any ($1::uuid[])`,
    [jobIds],
  );
}

const eventRow = z.object({ job_id: z.string(), type: z.string(), fence: z.number(), created_at: z.date() });
export type SeenEvent = z.infer<typeof eventRow>;

export function listEventsOf(db: Queryable, jobIds: readonly string[]): Promise<SeenEvent[]> {
  return db.many(
    eventRow,
    `select job_id, type, fence, created_at from ${db.schema}.events where job_id = any ($1::uuid[]) order by event_id`,
    [jobIds],
  );
}

const countRow = z.object({ count: z.number() });

export async function countUnfinished(db: Queryable): Promise<number> {
  const rows = await db.many(
    countRow,
    `select count(*)::int as count from ${db.schema}.upload_jobs where state not in ('done', 'deadletter', 'cancelled')`,
  );
  return rows[0]?.count ?? 0;
}

export async function countDone(db: Queryable): Promise<number> {
  const rows = await db.many(
    countRow,
    `select count(*)::int as count from ${db.schema}.upload_jobs where state = 'done'`,
  );
  return rows[0]?.count ?? 0;
}

/** Backends of worker processes on this database, oldest first. */
export async function listWorkerBackends(db: Queryable): Promise<number[]> {
  const rows = await db.many(
    z.object({ pid: z.number() }),
    `select pid from pg_stat_activity
     where datname = current_database() and application_name like 'upload-pipeline worker%' order by backend_start, pid`,
  );
  return rows.map((row) => row.pid);
}

export async function terminateBackend(db: Queryable, pid: number): Promise<boolean> {
  const rows = await db.many(z.object({ done: z.boolean() }), "select pg_terminate_backend($1) as done", [pid]);
  return rows[0]?.done ?? false;
}

/** The database's clock minus this process's, in milliseconds. */
export async function measureClockOffset(db: Queryable): Promise<number> {
  const before = Date.now();
  const rows = await db.many(z.object({ now: z.date() }), "select clock_timestamp() as now");
  return (rows[0]?.now.getTime() ?? before) - (before + Date.now()) / 2;
}

const tallyRow = z.object({ type: z.string(), code: z.string().nullable(), count: z.number() });

/** How often each kind of event happened. */
export async function tallyEvents(db: Queryable): Promise<Record<string, number>> {
  const rows = await db.many(
    tallyRow,
    `select type, code, count(*)::int as count from ${db.schema}.events group by type, code order by type, code`,
  );
  return Object.fromEntries(rows.map((row) => [row.code === null ? row.type : `${row.type} ${row.code}`, row.count]));
}
