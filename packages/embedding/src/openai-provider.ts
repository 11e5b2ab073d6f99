import { AppError } from "@pipeline/runtime";
import type { EmbeddingProvider } from "./embedder.ts";

/** What is configured about the account; the defaults are those below. */
export interface ProviderSettings {
  usdPerMillionTokens?: number | undefined;
  requestsPerMinute?: number | undefined;
  tokensPerMinute?: number | undefined;
  maxInFlight?: number | undefined;
}

/** US dollars per million tokens of requests that are answered at once, from https://developers.openai.com/api/docs/pricing. */
const USD_PER_MILLION_TOKENS: Readonly<Record<string, number>> = {
  "text-embedding-3-small": 0.02,
  "text-embedding-3-large": 0.13,
  "text-embedding-ada-002": 0.1,
};

/**
 * Those of OpenAI's first paid tier (https://developers.openai.com/api/docs/guides/rate-limits). An account that is allowed less
 * says so in its answers, and is listened to.
 */
const DEFAULT_REQUESTS_PER_MINUTE = 3_000;
const DEFAULT_TOKENS_PER_MINUTE = 1_000_000;
const DEFAULT_IN_FLIGHT = 8;

/** Throws `embedding_configuration_invalid` for a model whose price nobody knows: its costs could not be kept in bounds. */
export function describeProvider({ model, ...settings }: ProviderSettings & { model: string }): EmbeddingProvider {
  const usdPerMillionTokens = settings.usdPerMillionTokens ?? USD_PER_MILLION_TOKENS[model];
  if (usdPerMillionTokens === undefined) {
    throw new AppError({
      kind: "invalid",
      code: "embedding_configuration_invalid",
      message: `The price of the model "${model}" is not known here: set OPENAI_USD_PER_MILLION_TOKENS (0 if it costs nothing).`,
    });
  }
  return {
    name: "openai",
    usdPerMillionTokens,
    requestsPerMinute: settings.requestsPerMinute ?? DEFAULT_REQUESTS_PER_MINUTE,
    tokensPerMinute: settings.tokensPerMinute ?? DEFAULT_TOKENS_PER_MINUTE,
    maxInFlight: settings.maxInFlight ?? DEFAULT_IN_FLIGHT,
  };
}
