import { z } from "zod";
import { one, type Queryable } from "./queryable.ts";
import { storableText } from "./storable-text.ts";

const controlRow = z.object({
  /** Since when no worker claims; null: they do. */
  paused_at: z.date().nullable(),
  paused_by: z.string().nullable(),
  reason: z.string().nullable(),
});
export type QueueControl = z.infer<typeof controlRow>;

export function getQueueControl(db: Queryable): Promise<QueueControl> {
  return one(db, controlRow, `select paused_at, paused_by, reason from ${db.schema}.queue_control`);
}

/**
 * No worker claims from here on; jobs that are in hand go on. Paused twice is paused since the first time, by whom and why
 * the last one said.
 */
export function pauseClaims(db: Queryable, input: { paused_by: string; reason: string | null }): Promise<QueueControl> {
  return one(
    db,
    controlRow,
    `update ${db.schema}.queue_control set paused_at = coalesce(paused_at, now()), paused_by = $1, reason = $2
     returning paused_at, paused_by, reason`,
    [storableText(input.paused_by), input.reason === null ? null : storableText(input.reason)],
  );
}

/** Workers claim again. Wake them after it is committed. */
export function resumeClaims(db: Queryable): Promise<QueueControl> {
  return one(
    db,
    controlRow,
    `update ${db.schema}.queue_control set paused_at = null, paused_by = null, reason = null
     returning paused_at, paused_by, reason`,
  );
}
