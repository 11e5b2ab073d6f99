import { APIError, OpenAI } from "openai";
import { EMBEDDING_DIMENSIONS, type EmbedOptions } from "./embedder.ts";
import { embeddingTimedOut, translateOpenAiFailure } from "./openai-failure.ts";
import { readRateHints } from "./rate-hints.ts";

const OPENAI_BASE_URL = "https://api.openai.com/v1";
const DEFAULT_TIMEOUT_MS = 60_000;

export interface OpenAiClientInput {
  apiKey: string;
  baseUrl?: string;
  timeoutMs?: number;
}

export interface OpenAiClient {
  /** The body of the answer, unchecked. Each failure is an AppError, or the signal's reason once it is aborted. */
  request(model: string, input: EmbeddingInput): Promise<unknown>;
}

interface EmbeddingInput extends EmbedOptions {
  texts: string[];
}

export function createOpenAiClient(input: OpenAiClientInput): OpenAiClient {
  const { timeoutMs = DEFAULT_TIMEOUT_MS } = input;
  const client = buildClient(input, timeoutMs);
  return {
    request: async (model, asked) => {
      const deadline = AbortSignal.timeout(timeoutMs);
      try {
        return await request(client, { ...asked, model, deadline });
      } catch (error) {
        asked.signal?.throwIfAborted();
        throw deadline.aborted ? embeddingTimedOut() : translateOpenAiFailure(error);
      }
    },
  };
}

function buildClient(input: OpenAiClientInput, timeoutMs: number): OpenAI {
  return new OpenAI({
    apiKey: input.apiKey,
    baseURL: input.baseUrl ?? OPENAI_BASE_URL,
    timeout: timeoutMs,
    // The worker's runner owns retries: it has the back-off, the budget and the other workers in view.
    maxRetries: 0,
    // Left out, the SDK reads these from the environment; its debug log would print the texts.
    organization: null,
    project: null,
    adminAPIKey: null,
    webhookSecret: null,
    logLevel: "off",
    // A redirect would carry customers' text to a host that nobody configured.
    fetchOptions: { redirect: "manual" },
  });
}

interface EmbeddingRequest extends EmbeddingInput {
  model: string;
  /** The SDK's own timeout does not cover the body of an error: a server that stalls there would hold us for minutes. */
  deadline: AbortSignal;
}

async function request(client: OpenAI, input: EmbeddingRequest): Promise<unknown> {
  const { model, texts, deadline, signal, correlationId, onRateHints } = input;
  const asked = client.embeddings.create(
    {
      model,
      input: texts,
      // A quarter of the bytes of decimal numbers. Asked for by name, the SDK leaves the decoding, and its checks, to us.
      encoding_format: "base64",
      ...(model.startsWith("text-embedding-3-") ? { dimensions: EMBEDDING_DIMENSIONS } : {}),
    },
    {
      signal: AbortSignal.any(signal === undefined ? [deadline] : [deadline, signal]),
      headers: correlationId === undefined ? {} : { "X-Correlation-Id": correlationId },
    },
  );
  try {
    const { data, response } = await asked.withResponse();
    onRateHints?.(readRateHints(response.headers));
    return data;
  } catch (error) {
    if (error instanceof APIError && error.headers !== undefined) onRateHints?.(readRateHints(error.headers));
    throw error;
  }
}
