import { AppError } from "@pipeline/runtime";
import { z } from "zod";
import { assertVectors, invalidEmbedding } from "./assert-vectors.ts";
import { type Embedder, EMBEDDING_DIMENSIONS, type EmbedResult } from "./embedder.ts";
import type { OpenAiClient } from "./openai-client.ts";
import { describeProvider, type ProviderSettings } from "./openai-provider.ts";

/** The API takes 2,048 inputs and 300,000 tokens; the tokens keep a margin for counts that differ from ours. */
const BATCH = { maxInputs: 2048, maxTokens: 250_000 } as const;

const answerSchema = z.object({
  data: z.array(z.object({ index: z.int(), embedding: z.union([z.string(), z.array(z.number())]) })),
  usage: z.object({ total_tokens: z.int().nonnegative() }),
});
type Answer = z.infer<typeof answerSchema>;

export interface OpenAiEmbedderInput extends ProviderSettings {
  apiKey: string;
  /** Any server that speaks the OpenAI embeddings API, up to and including `/v1`. */
  baseUrl?: string;
  model: string;
  /** Only EMBEDDING_DIMENSIONS can be stored; here so that a configured value is checked. */
  dimensions?: number;
  /** For the whole exchange, body included. */
  timeoutMs?: number;
}

/**
 * Embeds with OpenAI or a compatible server. Throws `embedding_configuration_invalid` for settings that could never work.
 * Each failure of `embed` is an AppError whose kind says whether to try again; it never quotes the texts or the key.
 */
export function createOpenAiEmbedder(input: OpenAiEmbedderInput): Embedder {
  const { model, dimensions = EMBEDDING_DIMENSIONS } = input;
  assertConfiguration(input.apiKey, dimensions);
  const provider = describeProvider(input);
  let client: Promise<OpenAiClient> | undefined;
  return {
    model,
    dimensions,
    provider,
    // Half a minute's worth at most: with what else goes out at once a request stays within what a minute allows.
    batch: { ...BATCH, maxTokens: Math.min(BATCH.maxTokens, Math.max(1, Math.floor(provider.tokensPerMinute / 2))) },
    async embed(texts, options) {
      options.signal?.throwIfAborted();
      if (texts.length === 0) return { vectors: [], total_tokens: 0 };
      client ??= openClient(input).catch((error: unknown) => {
        client = undefined;
        throw error;
      });
      const answer = await (await client).request(model, { texts, ...options });
      return readAnswer(answer, texts.length);
    },
  };
}

/** The SDK is hundreds of modules: loaded with the first texts, they hold up no start. */
async function openClient(input: OpenAiEmbedderInput): Promise<OpenAiClient> {
  const { createOpenAiClient } = await import("./openai-client.ts");
  return createOpenAiClient(input);
}

function assertConfiguration(apiKey: string, dimensions: number): void {
  if (dimensions !== EMBEDDING_DIMENSIONS) {
    throw invalidConfiguration(`Embeddings must have ${EMBEDDING_DIMENSIONS} dimensions, not ${dimensions}.`);
  }
  // A key with a line break makes every request fail, with an error that quotes the key.
  if (!/^[\x21-\x7e]+$/.test(apiKey)) {
    throw invalidConfiguration("The embedding service's key is empty or holds characters that no header may hold.");
  }
}

function invalidConfiguration(message: string): AppError {
  return new AppError({ kind: "invalid", code: "embedding_configuration_invalid", message });
}

function readAnswer(answer: unknown, count: number): EmbedResult {
  const parsed = answerSchema.safeParse(answer);
  if (!parsed.success) {
    throw invalidEmbedding(`it has another shape at "${parsed.error.issues[0]?.path.join(".") ?? ""}"`);
  }
  const vectors = orderVectors(parsed.data.data);
  assertVectors(vectors, count);
  return { vectors, total_tokens: parsed.data.usage.total_tokens };
}

function orderVectors(data: Answer["data"]): number[][] {
  const ordered = data.toSorted((left, right) => left.index - right.index);
  if (ordered.some((item, position) => item.index !== position)) throw invalidEmbedding("its indexes have gaps");
  return ordered.map(({ embedding }) => (typeof embedding === "string" ? decodeFloats(embedding) : embedding));
}

/** Base64 of little-endian 32-bit floats. A server that ignores `encoding_format` sends numbers and never gets here. */
function decodeFloats(base64: string): number[] {
  const bytes = Buffer.from(base64, "base64");
  if (bytes.length % 4 !== 0) throw invalidEmbedding("a vector is cut off");
  return Array.from({ length: bytes.length / 4 }, (_, position) => bytes.readFloatLE(position * 4));
}
