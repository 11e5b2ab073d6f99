import { deleteOldKeys } from "@pipeline/db";
import type { OldRows } from "./forget-old.ts";

/** In one statement. */
const LIMIT = 5_000;

/**
 * Answers that are kept under an Idempotency-Key for longer than a day. The API deletes them while keys come; this is for the
 * last ones, and for more than it keeps up with.
 */
export const OLD_KEYS: OldRows = {
  name: "old idempotency keys",
  intervalMs: 60_000,
  remove: async (database) => ({ counts: { key_count: await deleteOldKeys(database, LIMIT) }, hasMore: false }),
};
