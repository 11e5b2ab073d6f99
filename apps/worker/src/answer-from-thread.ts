import { parentPort } from "node:worker_threads";
import { AppError, type ErrorKind } from "@pipeline/runtime";

/** An error loses its class on the way between threads, so the document's faults go as what they are made of. */
export type ThreadAnswer<T> = { result: T } | { fault: { kind: ErrorKind; code: string; message: string } };

/** The thread's side of run-in-thread.ts: does the work it was started for, and answers. */
export function answerFromThread(work: () => unknown): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a port between threads has no origin
  parentPort?.postMessage(attempt(work));
}

function attempt(work: () => unknown): ThreadAnswer<unknown> {
  try {
    return { result: work() };
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    const { kind, code, message } = error;
    return { fault: { kind, code, message } };
  }
}
