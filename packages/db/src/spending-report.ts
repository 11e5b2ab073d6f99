import { z } from "zod";
import { maybeOne, type Queryable } from "./queryable.ts";

const spendingRow = z.object({
  /** ISO date, UTC. */
  day: z.string(),
  provider: z.string(),
  model: z.string(),
  user_count: z.number(),
  request_count: z.number(),
  token_count: z.number(),
  page_count: z.number(),
  cost_usd: z.number(),
  lost_request_count: z.number(),
  lost_usd: z.number(),
});
export type SpendingRow = z.infer<typeof spendingRow>;

/** What was paid on each of the last days, newest first; of one user or of all. */
export function listSpending(
  db: Queryable,
  { days, user_id }: { days: number; user_id?: string | undefined },
): Promise<SpendingRow[]> {
  return db.many(
    spendingRow,
    `select day::text, provider, model, count(*) as user_count, sum(request_count)::bigint as request_count,
       sum(token_count)::bigint as token_count, sum(page_count)::bigint as page_count, sum(cost_usd)::float8 as cost_usd,
       sum(lost_request_count)::bigint as lost_request_count, sum(lost_usd)::float8 as lost_usd
     from ${db.schema}.spending
     where day > (now() at time zone 'utc')::date - $1::int and ($2::uuid is null or user_id = $2::uuid)
     group by day, provider, model order by day desc, provider, model`,
    [days, user_id ?? null],
  );
}

const dayRow = z.object({
  /** Paid or perhaps paid. */
  spent_usd: z.number(),
  /** Expected for what is under way, or was when its worker died. */
  reserved_usd: z.number(),
  /** The budget that was warned about today; null: none was. */
  warned_budget_usd: z.number().nullable(),
});
export type SpendingDay = z.infer<typeof dayRow>;

/** What today's budgets are compared with: of one user, or of everybody. */
export async function getSpendingToday(db: Queryable, user_id?: string): Promise<SpendingDay> {
  const found = await maybeOne(
    db,
    dayRow,
    `select spent_usd::float8, reserved_usd::float8, warned_budget_usd::float8
     from ${db.schema}.spending_days where day = (now() at time zone 'utc')::date and scope = $1`,
    [user_id ?? "everybody"],
  );
  return found ?? { spent_usd: 0, reserved_usd: 0, warned_budget_usd: null };
}
