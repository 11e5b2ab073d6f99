import { z } from "zod";
import { lockOwnDocument } from "./own-document.ts";
import type { Queryable } from "./queryable.ts";
import { OBJECT_KEY, SLOWEST_UPLOAD } from "./removals.ts";

/**
 * Deletes a document of this user with its jobs, their history, pages and passages, whatever its state: a worker that has
 * a job of it in hand loses its claim, since none of its writes finds the job any more. What the document has in object
 * storage is written to `removals`; answers those keys. Submissions to a provider that are open are withdrawn by workers.
 * Call it in a transaction. Throws `document_not_found`.
 */
export async function deleteDocument(
  tx: Queryable,
  input: { user_id: string; document_id: string },
): Promise<string[]> {
  await lockOwnDocument(tx, input);
  await lockJobs(tx, input.document_id);
  const keys = await insertRemovals(tx, input.document_id);
  await tx.run(`delete from ${tx.schema}.documents where document_id = $1`, [input.document_id]);
  return keys;
}

/** Before the document: checkpoints lock in this order too. */
async function lockJobs(tx: Queryable, documentId: string): Promise<void> {
  await tx.run(
    `select from ${tx.schema}.upload_jobs where document_id = $1 order by job_id
     for update`,
    [documentId],
  );
}

/**
 * The document's key, those of uploads before it, and those that each of its jobs may have been given; nothing is stored
 * under any other name.
 */
async function insertRemovals(tx: Queryable, documentId: string): Promise<string[]> {
  const rows = await tx.many(
    z.object({ object_key: z.string() }),
    `with jobs as (
       select job_id, upload_expires_at from ${tx.schema}.upload_jobs where document_id = $1
     ), keys as (
       select raw_path as object_key from ${tx.schema}.documents where document_id = $1
       union
       select unnest(old_paths) from ${tx.schema}.documents where document_id = $1
       union
       select $1::uuid::text || '/' || job_id::text from jobs
     )
     insert into ${tx.schema}.removals as r (object_key, upload_until)
     select object_key, coalesce((select max(upload_expires_at) from jobs) + ${SLOWEST_UPLOAD}, now())
     from keys where object_key ~ $2
     on conflict (object_key) do update
       set due_at = now(), failure_count = 0, upload_until = greatest(r.upload_until, excluded.upload_until)
     returning r.object_key`,
    [documentId, OBJECT_KEY],
  );
  return rows.map((row) => row.object_key);
}
