import { type Chunk, CHUNKER } from "@pipeline/chunking";
import { type Claim, listPages, type NewChunk, replaceChunks } from "@pipeline/db";
import { AppError, chunkId } from "@pipeline/runtime";
import { chunkPages } from "../chunk-pages.ts";
import { requireFormat } from "../require-format.ts";
import type { StageContext, StageOutcome } from "../stage-handler.ts";

/** Cuts the pages into passages; the same generation gets the same ids again. Throws permanent `no_text`. */
export async function chunk(job: Claim, { database, signal }: StageContext): Promise<StageOutcome> {
  const pages = await listPages(database, job);
  const found = await chunkPages({ pages, markdown: requireFormat(job.mime) !== "text" }, signal);
  if (found.length === 0) {
    throw new AppError({ kind: "permanent", code: "no_text", message: "The document holds no text." });
  }
  const chunks = found.map((piece) => identify(job, piece));
  return {
    kind: "advance",
    progress: { chunks_total: chunks.length, chunks_done: 0 },
    detail: { chunk_count: chunks.length },
    write: (tx) => replaceChunks(tx, job, { chunker: CHUNKER, chunks }),
  };
}

function identify(job: Claim, piece: Chunk): NewChunk {
  const { document_id, generation } = job;
  const { ordinal } = piece;
  const chunk_id = chunkId({
    document_id,
    generation,
    ordinal,
    chunker_name: CHUNKER.name,
    chunker_version: CHUNKER.version,
  });
  return { ...piece, chunk_id };
}
