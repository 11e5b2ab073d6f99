import { randomUUID } from "node:crypto";
import {
  findProviderPause,
  type ProviderRates,
  releaseBudget,
  reserveProviderCall,
  settleProviderCall,
} from "@pipeline/db";
import type { EmbeddingProvider } from "@pipeline/embedding";
import { AppError, pause } from "@pipeline/runtime";
import { Deferral } from "../../deferral.ts";
import type { StageContext } from "../../stage-handler.ts";
import { askAdmission, type Caller, endProbe } from "../provider-circuit.ts";
import { setAside } from "../set-aside.ts";

/** One paid request that is about to be sent. */
export interface PaidOrder {
  context: StageContext;
  provider: EmbeddingProvider;
  model: string;
  user_id: string;
  /** Expected, rather too many. */
  tokens: number;
}

/** Leave to send one request. Whoever has it ends each of its parts. */
export interface Pass {
  /** Ended by `recordSpend`, `recordLostSpend` or `releaseBudget`. */
  reservation_id: string;
  /** Ended by `settleProviderCall`. */
  lease_id: string;
  /** Set where this request tries whether the provider works again: ended by what is told about the provider. */
  probe_id: string | undefined;
}

/** A request takes a minute at most, after which it is given up; then its worker is dead. */
const REQUEST_MS = 75_000;
/** How often to look whether a request under way has ended. */
const LOOK_AGAIN_MS = 250;
/** How much of a minute's rate may go out at once after a rest. */
const BURST_SECONDS = 10;

/**
 * Waits until a request may be sent, as far as that is worth keeping the job in hand. Throws Deferral while the provider is
 * out of order, while a budget of today has no room, and where the rate that all workers share is taken for longer.
 */
export async function acquirePass(order: PaidOrder): Promise<Pass> {
  const probe_id = await enter(order);
  try {
    const reservation_id = await reserve(order);
    try {
      return { probe_id, reservation_id, lease_id: await takeTurn(order) };
    } catch (error) {
      await releaseBudget(order.context.database, reservation_id);
      throw error;
    }
  } catch (error) {
    await endProbe(callerOf(order), probe_id);
    throw error;
  }
}

/** Who asks, as the circuit knows them. */
export function callerOf({ context, provider }: PaidOrder): Caller {
  return { context, provider: provider.name };
}

async function enter(order: PaidOrder): Promise<string | undefined> {
  const { probe_id, outage } = await askAdmission(callerOf(order), REQUEST_MS + order.context.paid.longestWaitMs);
  if (outage !== undefined && probe_id === undefined) throw outage;
  return probe_id;
}

async function reserve({ context, provider, model, user_id, tokens }: PaidOrder): Promise<string> {
  const reservation_id = randomUUID();
  const cost_usd = costOf(provider, tokens);
  await setAside(context.database, { provider: provider.name, model, user_id, reservation_id, cost_usd }, context);
  return reservation_id;
}

/** What so many tokens cost, in US dollars. */
export function costOf({ usdPerMillionTokens }: EmbeddingProvider, tokens: number): number {
  return (tokens * usdPerMillionTokens) / 1_000_000;
}

/** Answers the lease of a request whose turn it is. */
async function takeTurn(order: PaidOrder): Promise<string> {
  const { context, provider, model, tokens } = order;
  const { database, paid, random, signal } = context;
  const startedAt = performance.now();
  const patienceMs = (): number => Math.max(0, paid.longestWaitMs - (performance.now() - startedAt));
  for (;;) {
    const lease_id = randomUUID();
    const maxWaitMs = patienceMs();
    const grant = await reserveProviderCall(database, {
      provider: provider.name,
      model,
      lease_id,
      leaseMs: REQUEST_MS,
      tokens,
      maxWaitMs,
      rates: ratesOf(provider),
    });
    if (grant.is_granted) {
      await awaitTurn(order, { lease_id, waitMs: grant.wait_ms, patienceMs });
      return lease_id;
    }
    if (!grant.is_full || maxWaitMs === 0) throw tooFast(Math.max(grant.wait_ms, LOOK_AGAIN_MS));
    await pause(Math.min(maxWaitMs, LOOK_AGAIN_MS * (0.5 + random())), signal);
  }
}

function ratesOf({ requestsPerMinute, tokensPerMinute, maxInFlight }: EmbeddingProvider): ProviderRates {
  return { requestsPerMinute, tokensPerMinute, maxInFlight, burstSeconds: BURST_SECONDS };
}

/** While a request waits for its turn, another one's answer may tell all of them to pause. */
async function awaitTurn(
  { context, provider, model, tokens }: PaidOrder,
  turn: { lease_id: string; waitMs: number; patienceMs: () => number },
): Promise<void> {
  const { database, signal } = context;
  const key = { provider: provider.name, model };
  try {
    for (let waitMs = turn.waitMs; waitMs > 0; waitMs = await findProviderPause(database, key)) {
      if (waitMs > turn.patienceMs()) throw tooFast(waitMs);
      await pause(waitMs, signal);
    }
    signal.throwIfAborted();
  } catch (error) {
    const { lease_id } = turn;
    await settleProviderCall(database, { ...key, lease_id, outcome: "unknown", unusedTokens: tokens, hints: {} });
    throw error;
  }
}

function tooFast(waitMs: number): Deferral {
  const reason = new AppError({
    kind: "rate_limited",
    code: "embedding_rate_limited",
    message: "As much as the embedding service allows is under way. The document waits for its turn.",
  });
  return new Deferral(reason, waitMs);
}
