import type { FastifyInstance, FastifyReply } from "fastify";
import { formatDuration, type RateBudget } from "../emulator/rate-budget.ts";
import { embedTexts } from "./embed-texts.ts";
import { type EmbeddingRequest, readEmbeddingRequest } from "./embedding-request.ts";
import type { Ledger } from "./ledger.ts";
import { rateLimited, sendError } from "./openai-error.ts";

export interface Budgets {
  requests: RateBudget;
  tokens: RateBudget;
}

export function addEmbeddingsRoute(app: FastifyInstance, parts: { budgets: Budgets; ledger: Ledger }): void {
  const { budgets, ledger } = parts;
  app.post("/v1/embeddings", async ({ body }, reply) => {
    const read = readEmbeddingRequest(body);
    if ("error" in read) return sendError(reply, read.error);
    const { model, inputs } = read.request;
    const tokens = inputs.reduce((sum, input) => sum + input.tokens, 0);
    const refused = takeBudget(budgets, tokens);
    addBudgetHeaders(reply, budgets);
    if (refused !== undefined) {
      return sendRateLimited(reply, {
        kind: refused,
        waitMs: budgets[refused].waitMs(refused === "tokens" ? tokens : 1),
      });
    }
    const data = await describeVectors(read.request);
    const markLost = ledger.bill(model.id, inputs);
    reply.raw.once("close", () => {
      if (!reply.raw.writableFinished) markLost();
    });
    return { object: "list", data, model: model.id, usage: { prompt_tokens: tokens, total_tokens: tokens } };
  });
}

async function describeVectors({ inputs, model, dimensions, format }: EmbeddingRequest): Promise<unknown[]> {
  const texts = inputs.map(({ text }) => text);
  const vectors = await embedTexts(texts, { model, dimensions });
  return vectors.map((vector, index) => ({
    object: "embedding",
    index,
    embedding: format === "base64" ? Buffer.from(Float32Array.from(vector).buffer).toString("base64") : vector,
  }));
}

/** The budget that is used up, if one is; a refused request costs nothing. */
function takeBudget({ requests, tokens }: Budgets, amount: number): keyof Budgets | undefined {
  if (requests.remaining() < 1) return "requests";
  if (!tokens.take(amount)) return "tokens";
  requests.take(1);
  return undefined;
}

export function addBudgetHeaders(reply: FastifyReply, budgets: Budgets): void {
  for (const kind of ["requests", "tokens"] as const) {
    const budget = budgets[kind];
    reply.header(`x-ratelimit-limit-${kind}`, budget.limit);
    reply.header(`x-ratelimit-remaining-${kind}`, budget.remaining());
    reply.header(`x-ratelimit-reset-${kind}`, formatDuration(budget.waitMs()));
  }
}

export function sendRateLimited(
  reply: FastifyReply,
  { kind, waitMs }: { kind: keyof Budgets; waitMs: number },
): FastifyReply {
  reply.header("retry-after-ms", waitMs);
  reply.header("retry-after", Math.ceil(waitMs / 1_000));
  return sendError(reply, rateLimited(kind, formatDuration(waitMs)));
}
