import { z } from "zod";
import { maybeOne, type Queryable } from "./queryable.ts";

/** What is limited: one model of one provider, for all workers together. */
export interface ProviderModel {
  provider: string;
  model: string;
}

export interface ProviderRates {
  requestsPerMinute: number;
  tokensPerMinute: number;
  /** Requests under way at once. */
  maxInFlight: number;
  /** How many seconds' worth may go out at once after a rest. */
  burstSeconds: number;
}

export interface CallReservation extends ProviderModel {
  /** Names the request until `settleProviderCall`. */
  lease_id: string;
  /** When the lease ends by itself, so that a dead worker's requests stop counting. */
  leaseMs: number;
  /** Expected, rather too many. */
  tokens: number;
  /** A request that would have to wait for longer is not granted. */
  maxWaitMs: number;
  rates: ProviderRates;
}

const grantRow = z.object({
  /** True: the request may go out in `wait_ms`. False: nothing was taken. */
  is_granted: z.boolean(),
  wait_ms: z.number(),
  /** As many requests as may be are under way; nobody knows until when. */
  is_full: z.boolean(),
});
export type CallGrant = z.infer<typeof grantRow>;

/**
 * Takes a request's place in the rate that all workers share, by the database's clock. Each is told when its turn is, large
 * or small, in the order of asking. In one statement, which holds the row for as long as it takes.
 */
export async function reserveProviderCall(db: Queryable, reservation: CallReservation): Promise<CallGrant> {
  for (;;) {
    const grant = await takePlace(db, reservation);
    if (grant !== undefined) return grant;
    await db.run(
      `insert into ${db.schema}.provider_limits (provider, model) values ($1, $2) on conflict (provider, model) do nothing`,
      [reservation.provider, reservation.model],
    );
  }
}

/**
 * Tokens are taken whole as soon as any are left, so that large requests wait no longer than small ones. At worst a burst
 * and one large request go out together, which is why a request should not be over half of what a minute allows.
 */
function takePlace(db: Queryable, reservation: CallReservation): Promise<CallGrant | undefined> {
  const { provider, model, rates, tokens, lease_id, leaseMs, maxWaitMs } = reservation;
  return maybeOne(
    db,
    grantRow,
    // The row is locked first: what is computed is then of its newest version, and stays so.
    `with held as materialized (
       select l.request_level, l.token_level, l.paused_until, l.leases, extract(epoch from now())::float8 as now_seconds,
         greatest(0, extract(epoch from now() - l.refilled_at))::float8 as age,
         least($3::float8, l.told_requests_per_minute) / 60 as request_rate,
         least($4::float8, l.told_tokens_per_minute) / 60 as token_rate
       from ${db.schema}.provider_limits l where l.provider = $1 and l.model = $2
       for no key update
     ), filled as materialized (
       select request_rate, token_rate, now_seconds,
         least(greatest(1, request_rate * $5::float8), request_level + age * request_rate) as requests,
         least(token_rate * $5::float8, token_level + age * token_rate) as tokens,
         greatest(0, extract(epoch from paused_until - now()))::float8 as pause,
         (select coalesce(jsonb_object_agg(lease.key, lease.value), '{}') from jsonb_each(held.leases) lease
          where lease.value::float8 > now_seconds) as leases
       from held
     ), verdict as materialized (
       select requests, tokens, leases, now_seconds,
         greatest(pause, (1 - requests) / request_rate, - tokens / token_rate) as wait_seconds,
         (select count(*) from jsonb_object_keys(filled.leases)) >= $7::int as is_full
       from filled
     ), taken as (
       update ${db.schema}.provider_limits l
       set request_level = v.requests - 1, token_level = v.tokens - $6::float8,
         refilled_at = greatest(l.refilled_at, now()),
         leases = v.leases || jsonb_build_object($8::text, v.now_seconds + v.wait_seconds + $9::float8 / 1000)
       from verdict v
       where l.provider = $1 and l.model = $2 and not v.is_full and v.wait_seconds * 1000 <= $10::float8
       returning l.provider
     )
     select exists (select from taken) as is_granted, v.wait_seconds * 1000 as wait_ms, v.is_full from verdict v`,
    [
      provider,
      model,
      rates.requestsPerMinute,
      rates.tokensPerMinute,
      rates.burstSeconds,
      tokens,
      rates.maxInFlight,
      lease_id,
      leaseMs,
      maxWaitMs,
    ],
  );
}

/** What a provider's answer says about its limits; each part may be missing. */
export interface RateHints {
  limitRequests?: number | undefined;
  limitTokens?: number | undefined;
  remainingRequests?: number | undefined;
  remainingTokens?: number | undefined;
}

export interface CallSettlement extends ProviderModel {
  lease_id: string;
  /** `refused`: it came too fast for the provider. `unknown`: no answer, or one that says nothing about rates. */
  outcome: "answered" | "refused" | "unknown";
  /** Tokens of the reservation that the provider did not count. */
  unusedTokens: number;
  /** How long the provider asks to wait. */
  retryAfterMs?: number | undefined;
  hints: RateHints;
}

/** A provider that refuses without saying for how long is left alone for so long, doubling with each refusal in a row. */
const FIRST_PAUSE_SECONDS = 0.25;
const LONGEST_PAUSE_SECONDS = 60;

/** How long `l` has been refilling. */
const REFILLED_MINUTES = "extract(epoch from now() - l.refilled_at)::float8 / 60";

const pauseRow = z.object({ pause_ms: z.number() });

/**
 * Ends a request's lease, and lets all workers know what its answer said: what is left, what is allowed, and for how long
 * to pause. Answers for how many milliseconds all of them pause now.
 */
export async function settleProviderCall(db: Queryable, settlement: CallSettlement): Promise<number> {
  const { provider, model, lease_id, outcome, unusedTokens, retryAfterMs, hints } = settlement;
  const settled = await maybeOne(
    db,
    pauseRow,
    // What is left is of this moment and levels are of refilled_at, hence the refill in between comes off.
    `update ${db.schema}.provider_limits l
     set leases = l.leases - $3::text,
       told_requests_per_minute = coalesce($6::float8, l.told_requests_per_minute),
       told_tokens_per_minute = coalesce($7::float8, l.told_tokens_per_minute),
       request_level = least(l.request_level,
         $8::float8 - ${REFILLED_MINUTES} * coalesce($6::float8, l.told_requests_per_minute, 0)),
       token_level = least(l.token_level + case when l.leases ? $3::text then $5::float8 else 0 end,
         $9::float8 - ${REFILLED_MINUTES} * coalesce($7::float8, l.told_tokens_per_minute, 0)),
       refusal_count = case $4::text when 'refused' then l.refusal_count + 1 when 'answered' then 0 else l.refusal_count end,
       paused_until = case when $4::text <> 'refused' then l.paused_until else greatest(l.paused_until,
         now() + greatest($10::float8 / 1000,
           least(${LONGEST_PAUSE_SECONDS}, ${FIRST_PAUSE_SECONDS} * 2 ^ least(l.refusal_count, 20))) * interval '1 s') end
     where l.provider = $1 and l.model = $2
     returning greatest(0, extract(epoch from l.paused_until - now()) * 1000)::float8 as pause_ms`,
    [
      provider,
      model,
      lease_id,
      outcome,
      unusedTokens,
      positive(hints.limitRequests),
      positive(hints.limitTokens),
      hints.remainingRequests ?? null,
      hints.remainingTokens ?? null,
      retryAfterMs ?? null,
    ],
  );
  return settled?.pause_ms ?? 0;
}

/** A limit of 0 would stop all workers for good on the strength of one header. */
function positive(limit: number | undefined): number | null {
  return limit !== undefined && limit > 0 ? limit : null;
}

/** For how many milliseconds all workers pause from now on; 0: they do not. */
export async function findProviderPause(db: Queryable, { provider, model }: ProviderModel): Promise<number> {
  const found = await maybeOne(
    db,
    pauseRow,
    `select greatest(0, extract(epoch from paused_until - now()) * 1000)::float8 as pause_ms
     from ${db.schema}.provider_limits where provider = $1 and model = $2`,
    [provider, model],
  );
  return found?.pause_ms ?? 0;
}

/** Tokens a minute that the provider says it allows; undefined while it has said nothing. */
export async function findToldTokens(db: Queryable, { provider, model }: ProviderModel): Promise<number | undefined> {
  const found = await maybeOne(
    db,
    z.object({ told: z.number() }),
    `select told_tokens_per_minute as told from ${db.schema}.provider_limits
     where provider = $1 and model = $2 and told_tokens_per_minute is not null`,
    [provider, model],
  );
  return found?.told;
}

const limitRow = z.object({
  provider: z.string(),
  model: z.string(),
  in_flight_count: z.number(),
  paused_until: z.date().nullable(),
  told_requests_per_minute: z.number().nullable(),
  told_tokens_per_minute: z.number().nullable(),
});
export type ProviderLimit = z.infer<typeof limitRow>;

/** Every provider and model that workers have sent requests to, as it stands now. */
export function listProviderLimits(db: Queryable): Promise<ProviderLimit[]> {
  return db.many(
    limitRow,
    `select l.provider, l.model, l.told_requests_per_minute, l.told_tokens_per_minute,
       case when l.paused_until > now() then l.paused_until end as paused_until,
       (select count(*) from jsonb_each(l.leases) lease where lease.value::float8 > extract(epoch from now()))
         as in_flight_count
     from ${db.schema}.provider_limits l order by l.provider, l.model`,
  );
}
