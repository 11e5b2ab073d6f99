import type { Stage } from "@pipeline/db";
import { AppError } from "@pipeline/runtime";

export interface Bounds {
  stage: Stage;
  deadlineMs: number;
  /** Aborted when the claim is over. */
  signal: AbortSignal;
}

/**
 * Runs a stage's work until it is done, its deadline has passed (transient `stage_timeout`) or the claim is over (the
 * signal's reason). Work that ignores the abort is left behind, and what it answers later is dropped.
 */
export async function runBounded<T>(work: (signal: AbortSignal) => Promise<T>, bounds: Bounds): Promise<T> {
  bounds.signal.throwIfAborted();
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(stageTimeout(bounds)), bounds.deadlineMs);
  const signal = AbortSignal.any([bounds.signal, deadline.signal]);
  try {
    return await Promise.race([work(signal), rejectOnAbort(signal)]);
  } catch (error) {
    // Whatever the work throws after it was told to stop is a consequence of that.
    signal.throwIfAborted();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

function rejectOnAbort(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(new Error("aborted", { cause: signal.reason })), { once: true });
  });
}

function stageTimeout({ stage, deadlineMs }: Bounds): AppError {
  return new AppError({
    kind: "transient",
    code: "stage_timeout",
    message: `The step "${stage}" took longer than ${deadlineMs / 1000} s.`,
    details: { deadline_ms: deadlineMs },
  });
}
