import type { ParseNote } from "@pipeline/parsing";

/** A 500-page scan can have a note per page; the event keeps the first ones and the count. */
const MOST_NOTES = 20;

export function boundNotes(notes: readonly ParseNote[]): { notes: readonly ParseNote[]; note_count: number } {
  return { notes: notes.slice(0, MOST_NOTES), note_count: notes.length };
}
