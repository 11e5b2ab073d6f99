import { type Chunk, chunkDocument, type ChunkInput } from "@pipeline/chunking";
import { needsThread, runInThread } from "./run-in-thread.ts";

/** Chunking as the worker needs it: without the options, which only experiments change. */
export type ChunkPagesInput = Pick<ChunkInput, "pages" | "markdown">;

const THREAD = new URL("chunk-thread.ts", import.meta.url);

/**
 * `chunkDocument`, in a thread where the text is long. It takes 0.2 s per million characters (measured on 2 shared cores; 2 s
 * for the 10 million that a document may have). Throws what `runInThread` does.
 */
export async function chunkPages(input: ChunkPagesInput, signal: AbortSignal): Promise<Chunk[]> {
  return needsThread(input.pages) ? runInThread({ entry: THREAD, input, signal }) : chunkDocument(input);
}
