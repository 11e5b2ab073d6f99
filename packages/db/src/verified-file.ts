import type { Queryable } from "./queryable.ts";
import { removeLater } from "./removals.ts";
import type { DocumentRow, JobRow } from "./rows.ts";

/** Of jobs that found no file, or another one than was promised, which was removed. */
const LOST_FILE_CODES = new Set(["object_not_found", "length_mismatch", "hash_mismatch", "content_mismatch"]);

/** Whether what `raw_path` names was verified, as far as the document's newest job tells. */
export function hasVerifiedFile(document: DocumentRow, latest: JobRow | undefined): boolean {
  if (latest === undefined) return true;
  const isItsUpload = document.raw_path === `${document.document_id}/${latest.job_id}`;
  if (latest.status === "uploaded" && isItsUpload) return false;
  return !LOST_FILE_CODES.has(latest.last_error?.code ?? "");
}

/**
 * Puts the file that was verified last in the place of one that never came, with the type and length that it was verified
 * by; what still comes of the other is removed. False: no such file is known.
 */
export async function restoreFile(
  tx: Queryable,
  document: { document_id: string; raw_path: string },
): Promise<boolean> {
  const restored = await tx.run(
    `update ${tx.schema}.documents
     set raw_path = verified_file ->> 'raw_path', mime = verified_file ->> 'mime',
         bytes_len = (verified_file ->> 'bytes_len')::bigint,
         -- or the next removal of old files would take it
         old_paths = array_remove(old_paths, verified_file ->> 'raw_path'), verified_file = null
     where document_id = $1 and verified_file is not null`,
    [document.document_id],
  );
  if (restored === 0) return false;
  await removeLater(tx, { object_key: document.raw_path, document_id: document.document_id });
  return true;
}
