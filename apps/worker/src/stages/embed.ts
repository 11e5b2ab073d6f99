import { embeddingText } from "@pipeline/chunking";
import {
  type Claim,
  countChunks,
  getDocument,
  listUnembeddedChunks,
  type Queryable,
  storeEmbeddings,
  type UnembeddedChunk,
} from "@pipeline/db";
import { assertVectors, packBatches } from "@pipeline/embedding";
import { AppError } from "@pipeline/runtime";
import type { StageContext, StageOutcome } from "../stage-handler.ts";

/** Version of how a chunk's text is put together for the model. */
const EMBED_INPUT_VERSION = "1";

/**
 * Most chunks per request and per stored batch, whatever the provider takes: progress shows, and a crash costs at most
 * one such batch. 256 vectors are about 5 MB of SQL.
 */
const LARGEST_BATCH = 256;

/** Embeds what has no vector of this model yet; batches that were stored are not sent again. */
export async function embed(job: Claim, context: StageContext): Promise<StageOutcome> {
  const { database, embedder } = context;
  const { model } = embedder;
  const { title } = await getDocument(database, job);
  const { chunk_count, embedded_count } = await countChunks(database, job, model);
  let done = embedded_count;
  let billedTokens = 0;
  for (;;) {
    const chunks = await listUnembeddedChunks(database, job, { model, limit: LARGEST_BATCH });
    if (chunks.length === 0) break;
    const limits = { ...embedder.batch, maxInputs: Math.min(embedder.batch.maxInputs, LARGEST_BATCH) };
    for (const batch of packBatches(describeInputs(chunks, title), limits)) {
      billedTokens += await embedBatch(job, { batch, context });
      done += batch.length;
      context.progress({ chunks_done: done, chunks_total: chunk_count });
    }
  }
  return {
    kind: "advance",
    progress: { chunks_done: chunk_count, chunks_total: chunk_count },
    detail: { model, input_version: EMBED_INPUT_VERSION, chunk_count, billed_tokens: billedTokens },
    write: (tx) => requireAllEmbedded(tx, { job, model }),
  };
}

interface EmbedInput {
  chunk_id: string;
  text: string;
  token_count: number;
}

function describeInputs(chunks: readonly UnembeddedChunk[], title: string | null): EmbedInput[] {
  return chunks.map(({ chunk_id, section_path, text: passage, token_count }) => {
    const text = embeddingText({ title, section_path, text: passage });
    // A token is at least one byte, so this is never too low for the label that was put in front.
    const labelTokens = Math.max(0, Buffer.byteLength(text) - Buffer.byteLength(passage));
    return { chunk_id, text, token_count: token_count + labelTokens };
  });
}

/** Answers the tokens that the provider bills. */
async function embedBatch(
  job: Claim,
  { batch, context }: { batch: readonly EmbedInput[]; context: StageContext },
): Promise<number> {
  const { embedder, signal } = context;
  const { vectors, total_tokens } = await embedder.embed(
    batch.map((input) => input.text),
    { signal, correlationId: job.correlation_id },
  );
  assertVectors(vectors, batch.length);
  const embeddings = batch.map(({ chunk_id }, index) => ({ chunk_id, vector: vectors[index] ?? [] }));
  await context.save(async (tx) => {
    const stored = await storeEmbeddings(tx, job, { model: embedder.model, version: EMBED_INPUT_VERSION, embeddings });
    if (stored !== batch.length) throw incomplete();
  });
  return total_tokens;
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
