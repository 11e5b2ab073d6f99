import { recordLostSpend, releaseBudget, settleProviderCall } from "@pipeline/db";
import { assertVectors, type EmbedResult, judgeEmbeddingFailure, type RateHints } from "@pipeline/embedding";
import { type AppError, isRetryable, pause, toAppError } from "@pipeline/runtime";
import { backoffMs } from "../../backoff.ts";
import { Deferral } from "../../deferral.ts";
import { endProbe, tellFault, tellWorking } from "../provider-circuit.ts";
import { acquirePass, callerOf, type PaidOrder, type Pass } from "./acquire-pass.ts";

export interface PaidEmbeddings extends EmbedResult {
  /** Open: the caller records what was paid together with what it stores. */
  reservation_id: string;
}

export interface TextOrder extends PaidOrder {
  texts: string[];
  correlation_id: string;
}

/** Tries of one request with the job in hand, as the provider's own SDK has it. */
const MOST_TRIES = 3;

/**
 * Sends one paid request when it may be sent, and lets all workers know what came of it. Throws Deferral for what is no
 * fault of the request, else the embedder's error.
 */
export async function sendPaid(order: TextOrder): Promise<PaidEmbeddings> {
  for (let tries = 1; ; tries += 1) {
    const pass = await acquirePass(order);
    const sent = await send(order, pass);
    if ("result" in sent) {
      await tellWorking(callerOf(order), pass.probe_id);
      return { ...sent.result, reservation_id: pass.reservation_id };
    }
    const delayMs = await answerFailure(order, { ...sent, pass, tries });
    await pause(delayMs, order.context.signal);
  }
}

type Sent = { result: EmbedResult } | Refusal;

interface Refusal {
  error: unknown;
  /** For how long all workers pause. */
  pauseMs: number;
}

/** Ends the request's lease, whatever came of it. */
async function send(order: TextOrder, { lease_id }: Pass): Promise<Sent> {
  const { context, provider, model, tokens, texts, correlation_id } = order;
  const { database, embedder, signal } = context;
  let hints: Partial<RateHints> = {};
  const settle = (
    outcome: "answered" | "refused" | "unknown",
    more: { unusedTokens?: number; retryAfterMs?: number },
  ) =>
    settleProviderCall(database, {
      provider: provider.name,
      model,
      lease_id,
      outcome,
      unusedTokens: 0,
      hints,
      ...more,
    });
  let result: EmbedResult;
  try {
    const onRateHints = (told: RateHints): void => void (hints = told);
    result = await embedder.embed(texts, { signal, correlationId: correlation_id, onRateHints });
    assertVectors(result.vectors, texts.length);
  } catch (error) {
    const { retryAfterMs } = toAppError(error);
    const wasTooFast = judgeEmbeddingFailure(error).blame === "pace";
    if (!wasTooFast) return { error, pauseMs: await settle("unknown", {}) };
    const pauseMs = await settle("refused", {
      unusedTokens: tokens,
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    });
    return { error, pauseMs };
  }
  await settle("answered", { unusedTokens: Math.max(0, tokens - result.total_tokens) });
  return { result };
}

interface Failure extends Refusal {
  pass: Pass;
  tries: number;
}

/** Answers in how many milliseconds to try again with the job in hand; throws where that is of no use. */
async function answerFailure(order: TextOrder, failure: Failure): Promise<number> {
  const { context } = order;
  const { error, pass, pauseMs, tries } = failure;
  const { blame, mayBeBilled } = judgeEmbeddingFailure(error);
  const account = mayBeBilled ? recordLostSpend : releaseBudget;
  await account(context.database, pass.reservation_id);
  if (context.signal.aborted || blame === "ours") {
    await endProbe(callerOf(order), pass.probe_id);
    throw error;
  }
  switch (blame) {
    case "pace":
      await endProbe(callerOf(order), pass.probe_id);
      if (tries > MOST_TRIES || pauseMs > context.paid.longestWaitMs) throw new Deferral(toAppError(error), pauseMs);
      return pauseMs;
    case "input":
      await tellWorking(callerOf(order), pass.probe_id);
      throw error;
    case "account":
    case "provider":
      return answerFault(order, { ...failure, error: toAppError(error), isLasting: blame === "account" });
  }
}

async function answerFault(
  order: TextOrder,
  { error, pass, tries, isLasting }: Failure & { error: AppError; isLasting: boolean },
): Promise<number> {
  const { paid, random } = order.context;
  const { probe_id } = pass;
  const outage = await tellFault(callerOf(order), { error, probe_id, isLasting, message: OUT_OF_ORDER });
  // The next look at the circuit defers the job and tells why.
  if (outage !== undefined) return 0;
  const { retryAfterMs } = error;
  const delayMs = backoffMs({ retryCount: tries - 1, baseMs: paid.retryBaseDelayMs, retryAfterMs, random });
  if (!isRetryable(error) || tries >= MOST_TRIES || delayMs > paid.longestWaitMs) throw error;
  return delayMs;
}

const OUT_OF_ORDER = "The embedding service failed several times in a row. Documents wait until it works again.";
