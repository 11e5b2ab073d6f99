import { z } from "zod";
import type { Queryable } from "./queryable.ts";

/** Requests of one subject (a user, an address) in the minute that begins then. */
export interface RequestCount {
  subject: string;
  /** Milliseconds since 1970. */
  minute: number;
  count: number;
}

const countedRow = z.object({ subject: z.string(), minute: z.number(), count: z.number(), now: z.number() });
/** The sum over all processes, and the database's time. */
export type CountedRequests = z.infer<typeof countedRow>;

/** Adds what one process counted since the last time, and answers the sums over all processes. */
export function addRequestCounts(db: Queryable, counts: readonly RequestCount[]): Promise<CountedRequests[]> {
  return db.many(
    countedRow,
    // in one order, so that two processes never wait for each other's rows
    `insert into ${db.schema}.request_counts as r (subject, minute_at, request_count)
     select subject, to_timestamp(minute / 1000), request_count
     from unnest($1::text[], $2::float8[], $3::int[]) as sent (subject, minute, request_count) order by subject, minute
     on conflict (subject, minute_at) do update set request_count = r.request_count + excluded.request_count
     returning subject, extract(epoch from minute_at)::float8 * 1000 as minute, request_count as count,
       extract(epoch from clock_timestamp())::float8 * 1000 as now`,
    [counts.map(({ subject }) => subject), counts.map(({ minute }) => minute), counts.map(({ count }) => count)],
  );
}

/** Minutes that nobody asks for any more. */
export function deleteOldRequestCounts(db: Queryable): Promise<number> {
  return db.run(`delete from ${db.schema}.request_counts where minute_at < now() - interval '5 minutes'`);
}
