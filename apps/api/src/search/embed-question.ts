import { randomUUID } from "node:crypto";
import { type BudgetStand, recordLostSpend, recordSpend, releaseBudget, reserveBudget } from "@pipeline/db";
import { type EmbedResult, type Embedder, type EmbeddingProvider, judgeEmbeddingFailure } from "@pipeline/embedding";
import { AppError, type Logger } from "@pipeline/runtime";
import type { ApiDependencies } from "../dependencies.ts";

export interface Question {
  user_id: string;
  query: string;
  correlationId: string;
}

/** A person waits for the answer; providers take well below a second. */
const EMBEDDING_TIMEOUT_MS = 10_000;

/**
 * The question's vector, paid within the budgets where it costs anything. Whatever kind of error the embedder throws, to
 * the caller of a search it is a service that is out of order: AppError transient with the embedder's code,
 * `embedding_timeout`, or `budget_exhausted`.
 */
export async function embedQuestion(dependencies: ApiDependencies, question: Question): Promise<number[]> {
  const { provider } = dependencies.embedder;
  const { vectors } =
    provider === undefined || provider.usdPerMillionTokens === 0
      ? await ask(dependencies.embedder, question)
      : await askPaid(dependencies, { question, provider });
  const [vector] = vectors;
  if (vector === undefined) throw searchUnavailable("embedding_invalid", undefined);
  return vector;
}

async function askPaid(
  { database, embedder, settings, log }: ApiDependencies,
  { question, provider }: { question: Question; provider: EmbeddingProvider },
): Promise<EmbedResult> {
  const reservation_id = randomUUID();
  const answer = await reserveBudget(database, {
    reservation_id,
    user_id: question.user_id,
    provider: provider.name,
    model: embedder.model,
    // A token is a byte at least.
    cost_usd: costOf(provider, Buffer.byteLength(question.query)),
    budgets: settings.budgets,
  });
  for (const warning of answer.warnings) log.warn({ ...warning }, "most of today's budget is used");
  if (!answer.is_reserved) throw budgetExhausted(answer.exhausted, answer.day_ends_ms);
  const result = await ask(embedder, question).catch(async (error: unknown) => {
    const cause = error instanceof AppError && error.cause !== undefined ? error.cause : error;
    const account = judgeEmbeddingFailure(cause).mayBeBilled ? recordLostSpend : releaseBudget;
    await settle(() => account(database, reservation_id), log);
    throw error;
  });
  const paid = { reservation_id, cost_usd: costOf(provider, result.total_tokens), tokens: result.total_tokens };
  await settle(() => recordSpend(database, paid), log);
  return result;
}

function costOf({ usdPerMillionTokens }: EmbeddingProvider, tokens: number): number {
  return (tokens * usdPerMillionTokens) / 1_000_000;
}

/** What was set aside stays so where it cannot be closed: rather too much is counted than too little. */
async function settle(close: () => Promise<boolean>, log: Logger): Promise<void> {
  try {
    await close();
  } catch (err) {
    log.warn({ err }, "a search's cost not recorded");
  }
}

async function ask(embedder: Embedder, { query, correlationId }: Question): Promise<EmbedResult> {
  const signal = AbortSignal.timeout(EMBEDDING_TIMEOUT_MS);
  try {
    return await embedder.embed([query], { signal, correlationId });
  } catch (error) {
    if (signal.aborted) throw searchUnavailable("embedding_timeout", error);
    if (error instanceof AppError) throw searchUnavailable(error.code, error);
    throw error;
  }
}

function budgetExhausted(exhausted: readonly BudgetStand[], retryAfterMs: number): AppError {
  const isEverybodys = exhausted.some((stand) => stand.scope === "everybody");
  return new AppError({
    kind: "transient",
    code: "budget_exhausted",
    message: `${isEverybodys ? "Today's budget" : "Your budget for today"} for paid services is used up, so nothing was searched.`,
    retryAfterMs,
  });
}

function searchUnavailable(code: string, cause: unknown): AppError {
  const retryAfterMs = cause instanceof AppError ? cause.retryAfterMs : undefined;
  return new AppError({
    kind: "transient",
    code,
    message: "The question could not be embedded, so nothing was searched.",
    cause,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}
