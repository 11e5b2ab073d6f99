import { deleteFinished } from "@pipeline/db";
import type { OldRows } from "./forget-old.ts";

/** Jobs that are looked at in one statement: few enough that no lock lasts and nobody waits. */
const LIMIT = 1_000;
const DAY_MS = 86_400_000;

/**
 * Events and jobs that ended longer ago than `historyMs`, and sessions of workers that did. Every worker goes through all jobs
 * once a day; what another is deleting it passes over.
 */
export function oldHistory(historyMs: number): OldRows {
  let after: string | undefined;
  return {
    name: "old history",
    intervalMs: DAY_MS,
    remove: async (database) => {
      const batch = { olderThanDays: historyMs / DAY_MS, limit: LIMIT, after };
      const { next, ...counts } = await deleteFinished(database, batch);
      after = next ?? undefined;
      return { counts, hasMore: next !== null };
    },
  };
}
