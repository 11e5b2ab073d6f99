import { Worker } from "node:worker_threads";
import { parseMemoryLimit } from "@pipeline/parsing";
import { AppError } from "@pipeline/runtime";
import type { ThreadAnswer } from "./answer-from-thread.ts";

export interface ThreadWork {
  /** The module that the thread runs; it answers with `answerFromThread`. */
  entry: URL;
  input: unknown;
  signal: AbortSignal;
  /** MiB of the thread's heap. */
  heapMb?: number;
}

/** As the parser's process has. The 10 million characters that a document may have take 128 as prose; as millions of headings, more. */
const HEAP_MB = 512;

/**
 * Up to so many characters a document's text is worked on where it is: that holds the event loop for about 100 ms, which is
 * what starting a thread costs.
 */
const LONGEST_INLINE_TEXT = 500_000;

export function needsThread(pages: readonly { text: string }[]): boolean {
  return pages.reduce((sum, page) => sum + page.text.length, 0) > LONGEST_INLINE_TEXT;
}

/**
 * Work on a document's text in a thread of its own, so that heartbeats and deadlines go on whatever the text is. The thread
 * is gone when this settles, whatever it was doing. Rejects with the signal's reason, with the AppError that the work
 * threw, with permanent `parse_memory_limit`, or with an Error where the thread failed.
 */
export async function runInThread<T>({ entry, input, signal, heapMb = HEAP_MB }: ThreadWork): Promise<T> {
  signal.throwIfAborted();
  const resourceLimits = { maxOldGenerationSizeMb: heapMb };
  const thread = new Worker(entry, { workerData: input, env: {}, resourceLimits });
  const stop = (): void => void thread.terminate();
  signal.addEventListener("abort", stop, { once: true });
  try {
    return await takeAnswer<T>(thread);
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
    await thread.terminate();
  }
}

function takeAnswer<T>(thread: Worker): Promise<T> {
  return new Promise((resolve, reject) => {
    thread.once("message", (answer: ThreadAnswer<T>) => {
      if ("fault" in answer) reject(new AppError(answer.fault));
      else resolve(answer.result);
    });
    thread.once("error", (error) => reject(isOutOfMemory(error) ? parseMemoryLimit() : error));
    thread.once("exit", (code) => reject(new Error(`The thread ended with code ${code}.`)));
  });
}

function isOutOfMemory(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ERR_WORKER_OUT_OF_MEMORY";
}
