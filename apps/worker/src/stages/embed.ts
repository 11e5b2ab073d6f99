import { embeddingText } from "@pipeline/chunking";
import {
  type Claim,
  countChunks,
  findTitle,
  findToldTokens,
  listUnembeddedChunks,
  type Queryable,
  recordLostSpend,
  recordSpend,
  storeEmbeddings,
  type UnembeddedChunk,
} from "@pipeline/db";
import { assertVectors, type BatchLimits, packBatches } from "@pipeline/embedding";
import { AppError, toAppError } from "@pipeline/runtime";
import type { StageContext, StageOutcome } from "../stage-handler.ts";
import { costOf } from "./embed/acquire-pass.ts";
import { sendPaid } from "./embed/send-paid.ts";
import { type BatchOutcome, storeBisecting } from "./embed/store-bisecting.ts";

/** Version of how a chunk's text is put together for the model. */
const EMBED_INPUT_VERSION = "1";

/**
 * Most chunks per request and per stored batch, whatever the provider takes: progress shows, and a crash costs at most
 * one such batch. 256 vectors are about 5 MB of SQL.
 */
const LARGEST_BATCH = 256;

/**
 * Embeds what has no vector of this model yet; batches that were stored are not sent again. A passage that the provider
 * refuses fails the document, by name and after all the others were stored.
 */
export async function embed(job: Claim, context: StageContext): Promise<StageOutcome> {
  const { database, embedder } = context;
  const { model } = embedder;
  const title = await findTitle(database, job);
  const { chunk_count, embedded_count } = await countChunks(database, job, model);
  const refused: Refused[] = [];
  let done = embedded_count;
  let billedTokens = 0;
  for (;;) {
    const chunks = await listUnembeddedChunks(database, job, { model, limit: LARGEST_BATCH });
    const left = chunks.filter(({ chunk_id }) => refused.every(({ input }) => input.chunk_id !== chunk_id));
    if (left.length === 0) break;
    for (const batch of packBatches(describeInputs(left, title), await batchLimits(context))) {
      const outcome = await storeBisecting(batch, (inputs) => embedAndStore(job, { inputs, context }));
      refused.push(...outcome.refused);
      billedTokens += outcome.tokens;
      done += batch.length - outcome.refused.length;
      context.progress({ chunks_done: done, chunks_total: chunk_count });
    }
  }
  if (refused.length > 0) throw namePassages(refused, chunk_count);
  return {
    kind: "advance",
    progress: { chunks_done: chunk_count, chunks_total: chunk_count },
    detail: { model, input_version: EMBED_INPUT_VERSION, chunk_count, billed_tokens: billedTokens },
    write: (tx) => requireAllEmbedded(tx, { job, model }),
  };
}

/** A request over half of what the provider allows in a minute could be refused for ever. */
async function batchLimits({ database, embedder }: StageContext): Promise<BatchLimits> {
  const { batch, model, provider } = embedder;
  const told = provider && (await findToldTokens(database, { provider: provider.name, model }));
  const maxTokens = told === undefined ? batch.maxTokens : Math.min(batch.maxTokens, Math.floor(told / 2));
  return { maxInputs: Math.min(batch.maxInputs, LARGEST_BATCH), maxTokens };
}

interface EmbedInput {
  chunk_id: string;
  ordinal: number;
  text: string;
  token_count: number;
}

type Refused = BatchOutcome<EmbedInput>["refused"][number];

function describeInputs(chunks: readonly UnembeddedChunk[], title: string | null): EmbedInput[] {
  return chunks.map(({ chunk_id, ordinal, section_path, text: passage, token_count }) => {
    const text = embeddingText({ title, section_path, text: passage });
    // A token is at least one byte, so this is never too low for the label that was put in front.
    const labelTokens = Math.max(0, Buffer.byteLength(text) - Buffer.byteLength(passage));
    return { chunk_id, ordinal, text, token_count: token_count + labelTokens };
  });
}

interface Part {
  inputs: readonly EmbedInput[];
  context: StageContext;
}

/** Answers the tokens that the provider bills. What is paid is recorded with what is stored, or as lost. */
async function embedAndStore(job: Claim, part: Part): Promise<number> {
  const { inputs, context } = part;
  const { embedder } = context;
  const { vectors, total_tokens, reservation_id } = await request(job, part);
  const embeddings = inputs.map(({ chunk_id }, index) => ({ chunk_id, vector: vectors[index] ?? [] }));
  try {
    await context.save(async (tx) => {
      const stored = await storeEmbeddings(tx, job, {
        model: embedder.model,
        version: EMBED_INPUT_VERSION,
        embeddings,
      });
      if (stored !== inputs.length) throw incomplete();
      if (reservation_id === undefined || embedder.provider === undefined) return;
      const cost_usd = costOf(embedder.provider, total_tokens);
      await recordSpend(tx, { reservation_id, cost_usd, tokens: total_tokens });
    });
  } catch (error) {
    if (reservation_id !== undefined) await recordLost(context, reservation_id);
    throw error;
  }
  return total_tokens;
}

async function request(
  job: Claim,
  { inputs, context }: Part,
): Promise<{ vectors: number[][]; total_tokens: number; reservation_id?: string }> {
  const { embedder, signal } = context;
  const { user_id, correlation_id } = job;
  const texts = inputs.map((input) => input.text);
  const { provider, model } = embedder;
  if (provider === undefined) {
    const result = await embedder.embed(texts, { signal, correlationId: correlation_id });
    assertVectors(result.vectors, texts.length);
    return result;
  }
  const tokens = inputs.reduce((sum, input) => sum + input.token_count, 0);
  return sendPaid({ context, provider, model, user_id, correlation_id, texts, tokens });
}

/** Nothing is counted twice: had the batch been stored after all, its reservation would be closed. */
async function recordLost({ database, log }: StageContext, reservation_id: string): Promise<void> {
  try {
    await recordLostSpend(database, reservation_id);
  } catch (error) {
    // It stays reserved, which today's budgets count like spent.
    log.warn({ err: error }, "lost spending not recorded");
  }
}

/** Most passages that an error names. */
const MOST_NAMED = 20;

function namePassages(refused: readonly Refused[], chunkCount: number): AppError {
  const { code, details } = toAppError(refused[0]?.error);
  const numbers = refused.map(({ input }) => input.ordinal + 1).toSorted((left, right) => left - right);
  const others = numbers.length > MOST_NAMED ? ` and ${numbers.length - MOST_NAMED} more` : "";
  return new AppError({
    kind: "permanent",
    code,
    message: `The embedding service refuses passage ${numbers.slice(0, MOST_NAMED).join(", ")}${others} of ${chunkCount}.`,
    details: { ...details, chunk_ids: refused.slice(0, MOST_NAMED).map(({ input }) => input.chunk_id) },
  });
}

/** In the transition's own transaction, so that no status ever claims more vectors than there are. */
async function requireAllEmbedded(tx: Queryable, { job, model }: { job: Claim; model: string }): Promise<void> {
  const { chunk_count, embedded_count } = await countChunks(tx, job, model);
  if (chunk_count === 0 || embedded_count !== chunk_count) throw incomplete();
}

function incomplete(): AppError {
  return new AppError({
    kind: "transient",
    code: "embeddings_incomplete",
    message: "Not every passage has its embedding.",
  });
}
