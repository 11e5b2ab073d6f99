import { type Claim, countChunks } from "@pipeline/db";
import { AppError } from "@pipeline/runtime";
import type { StageContext, StageOutcome } from "../stage-handler.ts";

/** Records how much there is to embed, before anything is paid for. */
export async function planEmbedding(job: Claim, { database, embedder }: StageContext): Promise<StageOutcome> {
  const { model } = embedder;
  const { chunk_count, token_count } = await countChunks(database, job, model);
  if (chunk_count === 0) {
    throw new AppError({ kind: "internal", code: "chunks_missing", message: "The document's chunks are missing." });
  }
  return { kind: "advance", detail: { model, chunk_count, token_count } };
}
