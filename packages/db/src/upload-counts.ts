import { AppError } from "@pipeline/runtime";
import { z } from "zod";
import type { Database } from "./database.ts";
import { TERMINAL_STATES } from "./pipeline.ts";
import { one, type Queryable } from "./queryable.ts";

/** What one user may have. */
export interface UploadAllowance {
  /** Jobs that are not at their end, those of retries and reprocessings among them. */
  maxInFlight: number;
  /** Jobs that uploads and reprocessings make on one day (UTC); a file that has a job already makes none. */
  maxPerDay: number;
}

/** More than anybody has, and still an integer of Postgres. */
export const UNLIMITED: UploadAllowance = { maxInFlight: 2_147_483_646, maxPerDay: 2_147_483_646 };

function permit(schema: string, { perDay, inFlight }: { perDay: string; inFlight: string }): string {
  return `permitted as materialized (
       select case
           when day_count > ${perDay}::int then ${schema}.refuse_upload('daily')
           when active_at_most > ${inFlight}::int then ${schema}.refuse_upload('in_flight')
           else true end as is_permitted
       from counted
     )`;
}

/**
 * For an upload whose document is there already. The user's row stays locked until the end of the transaction. Throws
 * rate_limited `daily_upload_limit` and `uploads_in_flight_limit`.
 */
export async function countUpload(tx: Queryable, userId: string, allowance: UploadAllowance): Promise<void> {
  await tx.run(`select ${tx.schema}.count_upload($1, $2, $3)`, [userId, allowance.maxPerDay, allowance.maxInFlight]);
}

/**
 * For a job that the same transaction began without an upload: a trigger has counted it as under way and locked the user's
 * row, which stays behind the job's in the order of locks.
 */
export async function countReprocessing(tx: Queryable, userId: string, allowance: UploadAllowance): Promise<void> {
  await one(
    tx,
    z.object({ is_permitted: z.boolean() }),
    `with today as (select (now() at time zone 'utc')::date as day), counted as (
       update ${tx.schema}.upload_counts c
       set day = case when c.day = t.day + 1 then c.day else t.day end,
         day_count = case when c.day in (t.day, t.day + 1) then c.day_count + 1 else 1 end
       from today t where c.user_id = $1
       returning c.day_count, c.active_at_most
     ), ${permit(tx.schema, { perDay: "$2", inFlight: "$3" })}
     select is_permitted from permitted`,
    [userId, allowance.maxPerDay, allowance.maxInFlight],
  );
}

/** For a job that the same transaction brought back from its end, which a trigger has counted likewise. */
export async function requireRoom(tx: Queryable, userId: string, allowance: UploadAllowance): Promise<void> {
  await one(
    tx,
    z.object({ is_permitted: z.boolean() }),
    `with counted as (
       select 0 as day_count, active_at_most from ${tx.schema}.upload_counts where user_id = $1
     ), ${permit(tx.schema, { perDay: "0", inFlight: "$2" })}
     select is_permitted from permitted`,
    [userId, allowance.maxInFlight],
  );
}

/**
 * Repeats the work where it was refused for uploads in flight and a new count finds room: what the limit is compared with
 * is not lowered when a job ends.
 */
export async function withFreshCount<T>(
  countAnew: Recounter,
  input: { user_id: string; maxInFlight: number },
  work: () => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      const isInFlight = error instanceof AppError && error.code === "uploads_in_flight_limit";
      if (!isInFlight || attempt === MAX_ATTEMPTS) throw error;
      if ((await countAnew(input.user_id)) >= input.maxInFlight) throw error;
    }
  }
}

/** Others may take what a new count found, and their jobs end again. */
const MAX_ATTEMPTS = 3;

/** Counts a user's jobs that are not at their end anew. */
export type Recounter = (userId: string) => Promise<number>;

/** Those who ask while a user is being counted get that count, so that many refusals at once cost one. */
export function createRecounter(database: Database): Recounter {
  const counting = new Map<string, Promise<number>>();
  return (userId) => {
    const known = counting.get(userId);
    if (known) return known;
    const counted = recount(database, userId).finally(() => counting.delete(userId));
    counting.set(userId, counted);
    return counted;
  };
}

/**
 * Counts the user's jobs that are not at their end, from the oldest that was under way at the last count; nobody begins one
 * meanwhile.
 */
function recount(database: Database, userId: string): Promise<number> {
  return database.transaction(async (tx) => {
    // In a statement before the one that counts, which so sees what those that held the lock have committed.
    await tx.run(`select from ${tx.schema}.upload_counts where user_id = $1 for no key update`, [userId]);
    const { active_at_most } = await one(
      tx,
      z.object({ active_at_most: z.number() }),
      `update ${tx.schema}.upload_counts c
       set (active_at_most, active_since) = (
         select count(*)::int, coalesce(min(j.created_at), now()) from ${tx.schema}.upload_jobs j
         where j.user_id = c.user_id and j.created_at >= c.active_since and ${IS_ACTIVE})
       where c.user_id = $1
       returning c.active_at_most`,
      [userId],
    );
    return active_at_most;
  });
}

const IS_ACTIVE = `j.state not in (${TERMINAL_STATES.map((state) => `'${state}'`).join(", ")})`;

const usageRow = z.object({ in_flight: z.number(), today: z.number(), resets_at: z.date() });

/** How much of the allowance is used, and when the day ends. */
export function readUploadUsage(db: Queryable, userId: string): Promise<z.infer<typeof usageRow>> {
  return one(
    db,
    usageRow,
    `select (select count(*)::int from ${db.schema}.upload_jobs j
         where j.user_id = $1 and ${IS_ACTIVE} and j.created_at >= coalesce(
           (select active_since from ${db.schema}.upload_counts where user_id = $1), '-infinity')) as in_flight,
       date_trunc('day', now(), 'utc') + interval '1 day' as resets_at,
       coalesce((select day_count from ${db.schema}.upload_counts
         where user_id = $1 and day = (now() at time zone 'utc')::date), 0) as today`,
    [userId],
  );
}
