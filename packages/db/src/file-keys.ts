import { z } from "zod";
import type { Queryable } from "./queryable.ts";

/** A file is one upload's, and a document has few uploads; reprocessing makes jobs without one. */
const MOST_KEYS = 10;

/**
 * Storage keys under which a verified file of this document may be, the likeliest first. None while the newest job has not
 * verified its file and nothing was complete before.
 */
export async function listFileKeys(db: Queryable, input: { user_id: string; document_id: string }): Promise<string[]> {
  const rows = await db.many(
    z.object({ object_key: z.string() }),
    `select k.object_key
     from ${db.schema}.documents d
     left join lateral (
       select status, job_id from ${db.schema}.upload_jobs
       where document_id = d.document_id order by generation desc limit 1
     ) newest on true
     cross join lateral (
       -- a job that verifies anew what search sees brings no file of its own
       select d.raw_path as object_key, null::int as generation where newest.status <> 'uploaded'
         or (d.live_generation is not null and d.raw_path <> d.document_id::text || '/' || newest.job_id::text)
       union all
       select j.document_id::text || '/' || j.job_id::text, j.generation from ${db.schema}.upload_jobs j
       where j.document_id = d.document_id and j.status <> 'uploaded' and j.document_id::text || '/' || j.job_id::text <> d.raw_path
       union all
       -- the job that brought it may be pruned
       select d.verified_file ->> 'raw_path', 0 where d.verified_file is not null
     ) k
     where d.document_id = $1 and d.user_id = $2
     order by k.generation desc nulls first
     limit ${MOST_KEYS}`,
    [input.document_id, input.user_id],
  );
  return rows.map((row) => row.object_key);
}
