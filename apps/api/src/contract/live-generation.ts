import { getDocument, type Queryable } from "@pipeline/db";
import { AppError } from "@pipeline/runtime";

export interface LiveGeneration {
  user_id: string;
  document_id: string;
  generation: number;
}

/** What search sees of a document of this user. Throws `document_not_found` and conflict `document_not_ready`. */
export async function getLiveGeneration(
  db: Queryable,
  asked: { user_id: string; document_id: string },
): Promise<LiveGeneration> {
  const { live_generation } = await getDocument(db, asked);
  if (live_generation === null) {
    const message = "The document has no text yet: no job of it is complete.";
    throw new AppError({ kind: "conflict", code: "document_not_ready", message });
  }
  return { ...asked, generation: live_generation };
}

/** The pages of a list must be of one generation, and another one took its place. */
export function documentChanged(): AppError {
  const message = "The document was processed anew meanwhile; begin again without a cursor.";
  return new AppError({ kind: "conflict", code: "document_changed", message });
}
