import { z } from "zod";
import type { Queryable } from "./queryable.ts";

/** What began in time may end after the link: 15 minutes is the longest that the disk store lets an upload last. */
export const SLOWEST_UPLOAD = "interval '1 hour'";

/** What an object's name looks like; nothing is stored under any other. */
export const OBJECT_KEY =
  "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}){0,3}$";

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

/** A file of a failed upload that another one replaces: removed now, and once more when its link is dead. */
export async function removeLater(tx: Queryable, file: { object_key: string; document_id: string }): Promise<void> {
  await tx.run(
    `insert into ${tx.schema}.removals as r (object_key, upload_until)
     select $1, coalesce(max(upload_expires_at) + ${SLOWEST_UPLOAD}, now())
     from ${tx.schema}.upload_jobs where document_id = $2
     having $1 ~ $3
     on conflict (object_key) do update
       set due_at = now(), failure_count = 0, upload_until = greatest(r.upload_until, excluded.upload_until)`,
    [file.object_key, file.document_id, OBJECT_KEY],
  );
}

/**
 * Files that the newest upload replaced are to be removed when no link of before is alive; they stay while it is not known
 * to be whole.
 */
export async function removeOldFiles(tx: Queryable, documentId: string): Promise<void> {
  await tx.run(
    `with whole as materialized (
       select d.old_paths from ${tx.schema}.documents d
       where d.document_id = $1 and d.old_paths <> '{}' and exists (
         select from ${tx.schema}.upload_jobs j
         where j.document_id = d.document_id and j.status <> 'uploaded'
           and j.document_id::text || '/' || j.job_id::text = d.raw_path)
     ), due as (
       select coalesce(max(upload_expires_at) + ${SLOWEST_UPLOAD}, now()) as due_at
       from ${tx.schema}.upload_jobs where document_id = $1
     ), forgotten as (
       update ${tx.schema}.documents set old_paths = '{}', verified_file = null
       where document_id = $1 and exists (select from whole)
     )
     insert into ${tx.schema}.removals (object_key, due_at, upload_until)
     select k.object_key, due.due_at, due.due_at
     from whole cross join unnest(whole.old_paths) as k (object_key) cross join due
     where k.object_key ~ $2
     on conflict (object_key) do nothing`,
    [documentId, OBJECT_KEY],
  );
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
