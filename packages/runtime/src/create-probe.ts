import { setTimeout as delay } from "node:timers/promises";
import { AppError } from "./errors.ts";

export interface ProbeOptions {
  /** After this long the part counts as out of order. */
  timeoutMs: number;
  /** How long an answer is given again without asking anew; health is asked by anybody, as often as they like. */
  keepMs: number;
}

/**
 * Asks one part of the system whether it works. While one question is open nobody asks a second one, so that a part
 * that hangs does not collect them. Throws what `ask` throws, or AppError transient `probe_timeout`.
 */
export function createProbe<T>(ask: () => Promise<T>, options: ProbeOptions): () => Promise<T> {
  let open: Promise<T> | undefined;
  let askedAt = Number.NEGATIVE_INFINITY;
  let isSettled = true;
  return () => {
    if (!open || (isSettled && performance.now() - askedAt >= options.keepMs)) {
      askedAt = performance.now();
      isSettled = false;
      open = ask().finally(() => {
        isSettled = true;
      });
    }
    return withDeadline(open, options.timeoutMs);
  };
}

async function withDeadline<T>(work: Promise<T>, timeoutMs: number): Promise<T> {
  const done = new AbortController();
  const deadline = async (): Promise<never> => {
    await delay(timeoutMs, undefined, { signal: done.signal });
    throw new AppError({ kind: "transient", code: "probe_timeout", message: "A health probe took too long." });
  };
  try {
    return await Promise.race([work, deadline()]);
  } finally {
    done.abort();
  }
}
