import { z } from "zod";
import type { Queryable } from "./queryable.ts";

/** Files removed in one call of the store. */
const BATCH = 100;

/**
 * Removes files of deleted documents that are due, by `remove`, for which missing ones are no fault. What it throws is
 * thrown on; those files come again, ever later but at least every six hours. Answers how many were removed: when that is
 * none, none is due.
 */
export async function removeDeletedFiles(db: Queryable, remove: (keys: string[]) => Promise<void>): Promise<number> {
  const keys = await takeRemovals(db, BATCH);
  if (keys.length === 0) return 0;
  await remove(keys);
  await finishRemovals(db, keys);
  return keys.length;
}

/** The next files that are due, each to one caller at a time. */
async function takeRemovals(db: Queryable, limit: number): Promise<string[]> {
  const rows = await db.many(
    z.object({ object_key: z.string() }),
    `with due as materialized (
       select object_key from ${db.schema}.removals where due_at <= now()
       order by due_at
       limit $1
       for update skip locked
     )
     update ${db.schema}.removals r
     set due_at = now() + least(interval '1 minute' * 2 ^ least(r.failure_count, 10), interval '6 hours'),
         failure_count = r.failure_count + 1
     where r.object_key = any (array(select object_key from due))
     returning r.object_key`,
    [limit],
  );
  return rows.map((row) => row.object_key);
}

/** These files were removed for the first time; a worker sees to them once more when no upload link is alive any more. */
export async function deferRemovals(db: Queryable, keys: readonly string[]): Promise<void> {
  await db.run(
    `update ${db.schema}.removals set due_at = upload_until, failure_count = 0 where object_key = any ($1::text[])`,
    [keys],
  );
}

/** These files are gone; those that an old upload link can bring back are removed once more when it cannot any longer. */
async function finishRemovals(db: Queryable, keys: readonly string[]): Promise<void> {
  await db.run(
    `with over as (
       delete from ${db.schema}.removals where object_key = any ($1::text[]) and upload_until <= now()
     )
     update ${db.schema}.removals set due_at = upload_until, failure_count = 0
     where object_key = any ($1::text[]) and upload_until > now()`,
    [keys],
  );
}
