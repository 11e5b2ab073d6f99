import { Worker } from "node:worker_threads";
import { type Chunk, chunkDocument, type ChunkInput } from "@pipeline/chunking";

/** Chunking as the worker needs it: without the options, which only experiments change. */
export type ChunkPagesInput = Pick<ChunkInput, "pages" | "markdown">;

/**
 * Chunking takes 0.2 s per million characters (measured on 2 shared cores; 2 s for the 10 million that a document may
 * have), and nothing else of this process runs meanwhile, heartbeats included. Up to this length it holds the event loop
 * for about 100 ms, which is what starting a thread costs; longer texts go to one.
 */
const LONGEST_INLINE_TEXT = 500_000;

export async function chunkPages(input: ChunkPagesInput, signal: AbortSignal): Promise<Chunk[]> {
  const length = input.pages.reduce((sum, page) => sum + page.text.length, 0);
  return length <= LONGEST_INLINE_TEXT ? chunkDocument(input) : chunkInThread(input, signal);
}

/** The thread is gone when this settles, whatever it was doing. Rejects with the signal's reason. */
async function chunkInThread(input: ChunkPagesInput, signal: AbortSignal): Promise<Chunk[]> {
  signal.throwIfAborted();
  const thread = new Worker(new URL("chunk-thread.ts", import.meta.url), { workerData: input, env: {} });
  const stop = (): void => void thread.terminate();
  signal.addEventListener("abort", stop, { once: true });
  try {
    return await new Promise<Chunk[]>((resolve, reject) => {
      thread.once("message", resolve);
      thread.once("error", reject);
      thread.once("exit", (code) => reject(new Error(`The chunking thread ended with code ${code}.`)));
    });
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
    await thread.terminate();
  }
}
