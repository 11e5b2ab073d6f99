import { z } from "zod";
import { maybeOne, type Queryable } from "./queryable.ts";

const entryRow = z.object({
  /** `closed` and `probe` may send; a probe must end with `closeCircuit`, `recordProviderFault` or `releaseProbe`. */
  state: z.enum(["closed", "probe", "open"]),
  /** Faults in a row so far. */
  failure_count: z.number(),
  /** Why it is open. */
  code: z.string().nullable(),
  message: z.string().nullable(),
  /** How long nobody may send; 0 where another probes just now. */
  wait_ms: z.number(),
});
export type CircuitEntry = z.infer<typeof entryRow>;

const CLOSED: CircuitEntry = { state: "closed", failure_count: 0, code: null, message: null, wait_ms: 0 };

/**
 * Asks whether the provider may be sent a request. Of all workers that ask when its time has come, one is the probe; a
 * probe that does not end within `probeMs` is given up.
 */
export async function enterCircuit(
  db: Queryable,
  request: { provider: string; probe_id: string; probeMs: number },
): Promise<CircuitEntry> {
  const entry = await maybeOne(
    db,
    entryRow,
    `with probing as (
       update ${db.schema}.provider_circuits
       set probe_id = $2, probe_until = now() + $3::float8 * interval '1 ms'
       where provider = $1 and open_until <= now() and (probe_until is null or probe_until <= now() or probe_id = $2)
       returning provider
     )
     select case when c.open_until is null then 'closed' when exists (select from probing) then 'probe' else 'open' end
         as state,
       c.failure_count, c.code, c.message,
       coalesce(greatest(0, extract(epoch from c.open_until - now()) * 1000), 0)::float8 as wait_ms
     from ${db.schema}.provider_circuits c where c.provider = $1`,
    [request.provider, request.probe_id, request.probeMs],
  );
  return entry ?? CLOSED;
}

export interface ProviderFault {
  provider: string;
  /** The probe's, if the request was one. */
  probe_id: string | undefined;
  /** Faults in a row that open the circuit; 1 for what is wrong with the account, which no next request mends. */
  threshold: number;
  /** How long it stays open at first; doubles each time that a probe fails. */
  openMs: number;
  longestOpenMs: number;
  /** What the provider asked for; it stays open at least so long. */
  retryAfterMs: number | undefined;
  /** What waiting jobs tell while it is open. */
  code: string;
  message: string;
}

const faultRow = z.object({ is_open: z.boolean(), has_opened: z.boolean(), wait_ms: z.number() });

/**
 * Counts a fault of the provider. `is_open`: nobody may send for `wait_ms`. `has_opened`: it was this fault that did it.
 * While the circuit is open only its probe counts: requests from before say nothing new.
 */
export async function recordProviderFault(db: Queryable, fault: ProviderFault): Promise<z.infer<typeof faultRow>> {
  await db.run(`insert into ${db.schema}.provider_circuits (provider) values ($1) on conflict (provider) do nothing`, [
    fault.provider,
  ]);
  const opens = "(c.opened_at is not null or c.failure_count + 1 >= $3::int)";
  const counted = await maybeOne(
    db,
    faultRow,
    `update ${db.schema}.provider_circuits c
     set failure_count = c.failure_count + 1, probe_id = null, probe_until = null,
       open_count = c.open_count + case when ${opens} then 1 else 0 end,
       opened_at = case when ${opens} then coalesce(c.opened_at, now()) end,
       open_until = case when ${opens} then now() + interval '1 ms' * greatest(
         $6::float8, least($5::float8, $4::float8 * 2 ^ least(c.open_count, 20))) end,
       code = case when ${opens} then $7::text end, message = case when ${opens} then $8::text end
     where c.provider = $1 and (c.opened_at is null or c.probe_id = $2)
     returning c.opened_at is not null as is_open, c.opened_at is not null as has_opened,
       coalesce(extract(epoch from c.open_until - now()) * 1000, 0)::float8 as wait_ms`,
    [
      fault.provider,
      fault.probe_id ?? null,
      fault.threshold,
      fault.openMs,
      fault.longestOpenMs,
      fault.retryAfterMs ?? null,
      fault.code,
      fault.message,
    ],
  );
  if (counted !== undefined) return counted;
  const { wait_ms } = await getOpenCircuit(db, fault.provider);
  return { is_open: true, has_opened: false, wait_ms };
}

async function getOpenCircuit(db: Queryable, provider: string): Promise<{ wait_ms: number }> {
  const found = await maybeOne(
    db,
    z.object({ wait_ms: z.number() }),
    `select greatest(0, extract(epoch from open_until - now()) * 1000)::float8 as wait_ms
     from ${db.schema}.provider_circuits where provider = $1 and open_until is not null`,
    [provider],
  );
  return found ?? { wait_ms: 0 };
}

/** The provider works: forgets its faults, and closes the circuit if this was the probe. Answers whether it closed one. */
export async function closeCircuit(
  db: Queryable,
  { provider, probe_id }: { provider: string; probe_id: string | undefined },
): Promise<boolean> {
  const changed = await db.run(
    `update ${db.schema}.provider_circuits
     set failure_count = 0, open_count = 0, opened_at = null, open_until = null, code = null, message = null,
       probe_id = null, probe_until = null
     where provider = $1 and case when opened_at is null then failure_count > 0 else probe_id = $2 end`,
    [provider, probe_id ?? null],
  );
  return changed === 1 && probe_id !== undefined;
}

/** The probe came to no verdict: another may try at once. */
export async function releaseProbe(db: Queryable, input: { provider: string; probe_id: string }): Promise<void> {
  await db.run(
    `update ${db.schema}.provider_circuits set probe_id = null, probe_until = null where provider = $1 and probe_id = $2`,
    [input.provider, input.probe_id],
  );
}

const circuitRow = z.object({
  provider: z.string(),
  failure_count: z.number(),
  opened_at: z.date().nullable(),
  open_until: z.date().nullable(),
  code: z.string().nullable(),
  message: z.string().nullable(),
});
export type ProviderCircuit = z.infer<typeof circuitRow>;

/** Every provider that ever had a fault. */
export function listCircuits(db: Queryable): Promise<ProviderCircuit[]> {
  return db.many(
    circuitRow,
    `select provider, failure_count, opened_at, open_until, code, message
     from ${db.schema}.provider_circuits order by provider`,
  );
}

const outageRow = z.object({
  provider: z.string(),
  opened_at: z.date(),
  /** How long ago that was. */
  seconds: z.number(),
  code: z.string(),
  message: z.string(),
});
export type ProviderOutage = z.infer<typeof outageRow>;

/**
 * Providers that are out of order, the longest first. One that nobody has asked for an hour after its next trial was due is
 * left out: nothing waits for it, so nobody knows.
 */
export function listProviderOutages(db: Queryable): Promise<ProviderOutage[]> {
  return db.many(
    outageRow,
    `select provider, opened_at, extract(epoch from now() - opened_at)::float8 as seconds, code, message
     from ${db.schema}.provider_circuits where open_until > now() - interval '1 hour' order by opened_at`,
  );
}
