import { deleteOldCallbacks } from "@pipeline/db";
import type { OldRows } from "./forget-old.ts";

/** In one statement. */
const LIMIT = 1_000;

/** Notes of old callbacks, also where no parser calls back any more. They are kept for a month, so that the hour does not matter. */
export const OLD_CALLBACKS: OldRows = {
  name: "old callbacks",
  intervalMs: 3_600_000,
  remove: async (database) => ({
    counts: { callback_count: await deleteOldCallbacks(database, LIMIT) },
    hasMore: false,
  }),
};
