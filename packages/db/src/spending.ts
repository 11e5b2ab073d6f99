import { z } from "zod";
import type { Queryable } from "./queryable.ts";
import type { ProviderModel } from "./provider-limits.ts";

/** What may be paid in one day (UTC), in US dollars; undefined: as much as it takes. */
export interface Budgets {
  usdPerDay?: number | undefined;
  usdPerUserPerDay?: number | undefined;
}

export interface PaidWork extends ProviderModel {
  user_id: string;
  /** Names the work until `recordSpend`, `recordLostSpend` or `releaseBudget`; reserved once, however often it is asked. */
  reservation_id: string;
  /** Expected, rather too much. */
  cost_usd: number;
  budgets: Budgets;
}

/** A budget as it stands, with what is reserved. */
export interface BudgetStand {
  scope: "everybody" | "user";
  budget_usd: number;
  used_usd: number;
}

export interface BudgetAnswer {
  is_reserved: boolean;
  /** The budgets that this work does not fit into, if it is not reserved. */
  exhausted: BudgetStand[];
  /** Budgets of which so much is gone that somebody should know; said once for each budget and day. */
  warnings: BudgetStand[];
  /** Until the next day begins. */
  day_ends_ms: number;
}

/** Share of a budget from which on it is warned about. */
const WARN_SHARE = 0.8;

/** Reservations that nobody closed for so long are forgotten; their amounts stay in the sums of their days. */
const FORGET_RESERVATIONS = "7 days";

/** Budgets are of days in UTC. */
const TODAY = "(now() at time zone 'utc')::date";

/**
 * Sets aside what paid work is expected to cost, unless a budget of today has no room for it. Call it before the work is
 * ordered, and one of `recordSpend`, `recordLostSpend` and `releaseBudget` once it is known what came of it. Workers that
 * ask at once see each other's, so budgets hold whatever the number of workers.
 */
export async function reserveBudget(db: Queryable, work: PaidWork): Promise<BudgetAnswer> {
  for (;;) {
    const stands = await setAside(db, work);
    if (stands.length === 2) return answerOf(db, stands);
    await openDay(db, work.user_id);
  }
}

const standRow = z.object({
  scope: z.string(),
  is_reserved: z.boolean(),
  budget_usd: z.number().nullable(),
  used_usd: z.number(),
  warned_usd: z.number(),
  fits: z.boolean(),
  day_ends_ms: z.number(),
});
type Stand = z.infer<typeof standRow>;

function setAside(db: Queryable, work: PaidWork): Promise<Stand[]> {
  const { reservation_id, user_id, provider, model, cost_usd, budgets } = work;
  return db.many(
    standRow,
    // Both sums are locked before they are compared: they are of the newest version then, and stay so. Every statement that
    // locks both does so in the order of scopes, or two of them could wait for each other.
    `with known as materialized (
       select reservation_id from ${db.schema}.spending_reservations where reservation_id = $1
     ), held as materialized (
       select d.scope, d.spent_usd + d.reserved_usd as used_usd, coalesce(d.warned_budget_usd, 0) as warned_usd,
         case d.scope when 'everybody' then $6::numeric else $7::numeric end as budget_usd
       from ${db.schema}.spending_days d
       where d.day = ${TODAY} and d.scope in ('everybody', $2::uuid::text)
       order by d.scope
       for no key update
     ), judged as materialized (
       select held.*, coalesce(used_usd + $5::numeric <= budget_usd, true) as fits from held
     ), verdict as materialized (
       select count(*) = 2 and bool_and(fits) and not exists (select from known) as is_new from judged
     ), booked as (
       update ${db.schema}.spending_days d set reserved_usd = d.reserved_usd + $5::numeric
       from verdict v where v.is_new and d.day = ${TODAY} and d.scope in ('everybody', $2::uuid::text)
     ), made as (
       insert into ${db.schema}.spending_reservations (reservation_id, day, user_id, provider, model, cost_usd)
       select $1, ${TODAY}, $2, $3, $4, $5::numeric from verdict v where v.is_new
     )
     select j.scope, v.is_new or exists (select from known) as is_reserved, j.fits, j.budget_usd::float8,
       (j.used_usd + case when v.is_new then $5::numeric else 0 end)::float8 as used_usd, j.warned_usd::float8,
       (extract(epoch from (${TODAY} + 1)::timestamp - (now() at time zone 'utc')) * 1000)::float8 as day_ends_ms
     from judged j cross join verdict v`,
    [reservation_id, user_id, provider, model, cost_usd, budgets.usdPerDay ?? null, budgets.usdPerUserPerDay ?? null],
  );
}

/** The first paid work of a day, or of a user's day. Leftovers of earlier days go: their amounts are in those days' sums. */
async function openDay(db: Queryable, userId: string): Promise<void> {
  await db.run(
    `with gone as (
       delete from ${db.schema}.spending_reservations where created_at < now() - interval '${FORGET_RESERVATIONS}'
     )
     insert into ${db.schema}.spending_days (day, scope)
     select ${TODAY}, scope from unnest(array['everybody', $1::uuid::text]) as scope
     order by scope
     on conflict (day, scope) do nothing`,
    [userId],
  );
}

async function answerOf(db: Queryable, stands: readonly Stand[]): Promise<BudgetAnswer> {
  const isReserved = stands.some((stand) => stand.is_reserved);
  const exhausted = isReserved ? [] : stands.filter((stand) => !stand.fits);
  return {
    is_reserved: isReserved,
    exhausted: exhausted.map((stand) => standOf(stand, stand.budget_usd ?? 0)),
    warnings: await claimWarnings(db, stands),
    day_ends_ms: Math.max(...stands.map((stand) => stand.day_ends_ms)),
  };
}

async function claimWarnings(db: Queryable, stands: readonly Stand[]): Promise<BudgetStand[]> {
  const warnings: BudgetStand[] = [];
  for (const stand of stands) {
    const { scope, budget_usd, used_usd, warned_usd } = stand;
    if (budget_usd === null || warned_usd >= budget_usd || used_usd < budget_usd * WARN_SHARE) continue;
    if (await claimWarning(db, { scope, budget_usd })) warnings.push(standOf(stand, budget_usd));
  }
  return warnings;
}

function standOf({ scope, used_usd }: Stand, budget_usd: number): BudgetStand {
  return { scope: scope === "everybody" ? "everybody" : "user", budget_usd, used_usd };
}

/** True for one of all that ask, and again once the budget was raised. */
async function claimWarning(db: Queryable, warning: { scope: string; budget_usd: number }): Promise<boolean> {
  const claimed = await db.run(
    `update ${db.schema}.spending_days set warned_budget_usd = $2::float8
     where day = ${TODAY} and scope = $1 and coalesce(warned_budget_usd, 0) < $2::float8::numeric`,
    [warning.scope, warning.budget_usd],
  );
  return claimed === 1;
}

export interface Spend {
  reservation_id: string;
  /** What the provider bills. */
  cost_usd: number;
  tokens?: number;
  pages?: number;
}

/**
 * Records what was paid, in the transaction that stores what was paid for; last in it, because it locks the sums that all
 * workers write to. Answers false, and records nothing, where the reservation is closed already: repeating is safe.
 */
export function recordSpend(tx: Queryable, spend: Spend): Promise<boolean> {
  return closeReservation(tx, {
    reservation_id: spend.reservation_id,
    paid: { cost_usd: spend.cost_usd, tokens: spend.tokens ?? 0, pages: spend.pages ?? 0 },
    outcome: "paid",
  });
}

/**
 * Nobody can tell whether the work will be billed, or what was paid for could not be stored. It counts as spent, with what
 * was expected.
 */
export function recordLostSpend(db: Queryable, reservation_id: string): Promise<boolean> {
  return closeReservation(db, { reservation_id, paid: NOTHING, outcome: "lost" });
}

/** The work was certainly not billed: what was set aside is free again. */
export function releaseBudget(db: Queryable, reservation_id: string): Promise<boolean> {
  return closeReservation(db, { reservation_id, paid: NOTHING, outcome: "free" });
}

const NOTHING = { cost_usd: 0, tokens: 0, pages: 0 };

interface Closing {
  reservation_id: string;
  paid: { cost_usd: number; tokens: number; pages: number };
  outcome: "paid" | "lost" | "free";
}

async function closeReservation(db: Queryable, { reservation_id, paid, outcome }: Closing): Promise<boolean> {
  const closed = await db.many(
    z.object({ day: z.string() }),
    `with closed as materialized (
       delete from ${db.schema}.spending_reservations where reservation_id = $1
       returning day, user_id, provider, model, cost_usd as reserved_usd,
         case $2::text when 'paid' then $3::numeric when 'lost' then cost_usd else 0 end as spent_usd
     ), held as materialized (
       select d.day, d.scope, c.reserved_usd, c.spent_usd
       from ${db.schema}.spending_days d
       join closed c on c.day = d.day and d.scope in ('everybody', c.user_id::text)
       order by d.scope
       for no key update of d
     ), moved as (
       update ${db.schema}.spending_days d
       set spent_usd = d.spent_usd + h.spent_usd, reserved_usd = greatest(0, d.reserved_usd - h.reserved_usd)
       from held h where d.day = h.day and d.scope = h.scope
     ), told as (
       insert into ${db.schema}.spending as s (day, user_id, provider, model, request_count, token_count, page_count,
         cost_usd, lost_request_count, lost_usd)
       select day, user_id, provider, model, ($2 = 'paid')::int, $4::bigint, $5::bigint,
         case $2 when 'paid' then spent_usd else 0 end, ($2 = 'lost')::int, case $2 when 'lost' then spent_usd else 0 end
       from closed where $2 <> 'free'
       on conflict (day, user_id, provider, model) do update
       set request_count = s.request_count + excluded.request_count, token_count = s.token_count + excluded.token_count,
         page_count = s.page_count + excluded.page_count, cost_usd = s.cost_usd + excluded.cost_usd,
         lost_request_count = s.lost_request_count + excluded.lost_request_count,
         lost_usd = s.lost_usd + excluded.lost_usd
     )
     select day::text from closed`,
    [reservation_id, outcome, paid.cost_usd, paid.tokens, paid.pages],
  );
  return closed.length === 1;
}
