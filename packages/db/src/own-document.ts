import { documentNotFound } from "./documents.ts";
import type { Queryable } from "./queryable.ts";
import { lockDocument } from "./uploads.ts";

/**
 * `lockDocument` for a user, or for an operator, who names none. What is not theirs is not locked: they would wait for
 * another's work, which tells that there is some, and hold it up. Throws `document_not_found`.
 */
export async function lockOwnDocument(tx: Queryable, asked: { document_id: string; user_id?: string }): Promise<void> {
  await requireDocument(tx, asked);
  await lockDocument(tx, asked.document_id);
  // It may have been deleted before the lock was there.
  await requireDocument(tx, asked);
}

async function requireDocument(tx: Queryable, asked: { document_id: string; user_id?: string }): Promise<void> {
  const found = await tx.run(
    `select from ${tx.schema}.documents where document_id = $1 and ($2::uuid is null or user_id = $2)`,
    [asked.document_id, asked.user_id ?? null],
  );
  if (found === 0) throw documentNotFound();
}
