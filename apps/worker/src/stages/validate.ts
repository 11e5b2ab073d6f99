import { type Claim, findTitle, listPages, replacePages } from "@pipeline/db";
import { AppError } from "@pipeline/runtime";
import { boundNotes } from "../bound-notes.ts";
import { normaliseStored } from "../normalise-stored.ts";
import { requireFormat } from "../require-format.ts";
import type { StageContext, StageOutcome } from "../stage-handler.ts";

/** Brings the pages into the one form that chunks and citations count in. Throws permanent `no_text`. */
export async function validate(job: Claim, { database, signal }: StageContext): Promise<StageOutcome> {
  const stored = await listPages(database, job);
  if (stored.length === 0) {
    throw new AppError({ kind: "internal", code: "pages_missing", message: "The parsed pages are missing." });
  }
  const { pages, notes } = await normaliseStored({ pages: stored, format: requireFormat(job.mime) }, signal);
  const title = await findTitle(database, job);
  const characterCount = pages.reduce((sum, page) => sum + page.text.length, 0);
  return {
    kind: "advance",
    detail: { character_count: characterCount, ...boundNotes(notes) },
    write: (tx) => replacePages(tx, job, { title, pages }),
  };
}
