import { countTokens } from "@pipeline/chunking";
import { decode } from "gpt-tokenizer/encoding/cl100k_base";
import { z } from "zod";
import { findModel, type Model } from "./models.ts";
import { badRequest, type OpenAiError, unknownModel } from "./openai-error.ts";

/** The service's limits. */
const MOST_INPUTS = 2_048;
const MOST_TOKENS_PER_INPUT = 8_192;
const MOST_TOKENS = 300_000;
/** Of cl100k_base; its few special tokens lie beyond. */
const MOST_TOKEN_ID = 100_255;

const bodySchema = z.object({
  model: z.string().optional(),
  input: z.unknown(),
  dimensions: z.int().optional(),
  encoding_format: z.enum(["float", "base64"]).default("float"),
});
type Body = z.infer<typeof bodySchema>;

const inputSchema = z.union([
  z.string().transform((text) => [text]),
  z.array(z.string()),
  z.array(z.int().min(0).max(MOST_TOKEN_ID)).transform((tokens) => [tokens]),
  z.array(z.array(z.int().min(0).max(MOST_TOKEN_ID))),
]);

export interface EmbeddingInput {
  text: string;
  tokens: number;
}

export interface EmbeddingRequest {
  model: Model;
  inputs: EmbeddingInput[];
  dimensions: number;
  format: "float" | "base64";
}

/** What the body asks for, or the service's refusal. */
export function readEmbeddingRequest(body: unknown): { request: EmbeddingRequest } | { error: OpenAiError } {
  const parsed = bodySchema.safeParse(body);
  if (!parsed.success) {
    const field = String(parsed.error.issues[0]?.path[0] ?? "body");
    return { error: badRequest(`Invalid value for '${field}'.`, { param: field }) };
  }
  const { model: id, encoding_format: format } = parsed.data;
  if (id === undefined) return { error: badRequest("you must provide a model parameter") };
  const model = findModel(id);
  if (model === undefined) return { error: unknownModel(id) };
  const dimensions = parsed.data.dimensions ?? model.dimensions;
  const error = findDimensionsFault(parsed.data, model);
  if (error !== undefined) return { error };
  const read = readInputs(parsed.data.input);
  return "error" in read ? read : { request: { model, inputs: read.inputs, dimensions, format } };
}

function findDimensionsFault({ dimensions }: Body, model: Model): OpenAiError | undefined {
  if (dimensions === undefined) return undefined;
  const param = "dimensions";
  if (!model.isShortenable) return badRequest("This model does not support specifying dimensions.", { param });
  if (dimensions >= 1 && dimensions <= model.dimensions) return undefined;
  return badRequest(
    `Invalid value for 'dimensions' = ${dimensions}. Must be from 1 to ${model.dimensions} for this model.`,
    { param },
  );
}

function readInputs(input: unknown): { inputs: EmbeddingInput[] } | { error: OpenAiError } {
  const param = "input";
  const parsed = inputSchema.safeParse(input);
  if (!parsed.success) return { error: badRequest("'$.input' is invalid.", { param }) };
  if (parsed.data.length === 0) return { error: badRequest("Input cannot be an empty array.", { param }) };
  if (parsed.data.length > MOST_INPUTS) {
    const message = `Invalid 'input': array too long. Expected at most ${MOST_INPUTS}, got ${parsed.data.length}.`;
    return { error: badRequest(message, { param, errorCode: "array_above_max_length" }) };
  }
  const inputs = parsed.data.map(measureInput);
  const error = findLengthFault(inputs);
  return error === undefined ? { inputs } : { error };
}

/** Tokens are decoded, so that a text has one vector however it was sent. */
function measureInput(input: string | number[]): EmbeddingInput {
  return typeof input === "string"
    ? { text: input, tokens: countTokens(input) }
    : { text: decode(input), tokens: input.length };
}

function findLengthFault(inputs: readonly EmbeddingInput[]): OpenAiError | undefined {
  const param = "input";
  const empty = inputs.findIndex(({ tokens }) => tokens === 0);
  if (empty !== -1) return badRequest(`Invalid 'input[${empty}]': input cannot be an empty string.`, { param });
  const long = inputs.findIndex(({ tokens }) => tokens > MOST_TOKENS_PER_INPUT);
  if (long !== -1) {
    return badRequest(`Invalid 'input[${long}]': maximum input length is ${MOST_TOKENS_PER_INPUT} tokens.`, { param });
  }
  const total = inputs.reduce((sum, { tokens }) => sum + tokens, 0);
  if (total <= MOST_TOKENS) return undefined;
  return badRequest(`Requested ${total} tokens, max ${MOST_TOKENS} tokens per request`, {
    type: "max_tokens_per_request",
    errorCode: "max_tokens_per_request",
  });
}
