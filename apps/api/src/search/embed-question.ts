import type { Embedder } from "@pipeline/embedding";
import { AppError } from "@pipeline/runtime";

/** A person waits for the answer; providers take well below a second. */
const EMBEDDING_TIMEOUT_MS = 10_000;

/**
 * The question's vector. Whatever kind of error the embedder throws, to the caller of a search it is a service that is
 * out of order: AppError transient with the embedder's code, or `embedding_timeout`.
 */
export async function embedQuestion(
  embedder: Embedder,
  question: { query: string; correlationId: string },
): Promise<number[]> {
  const signal = AbortSignal.timeout(EMBEDDING_TIMEOUT_MS);
  try {
    const { vectors } = await embedder.embed([question.query], { signal, correlationId: question.correlationId });
    const [vector] = vectors;
    if (vector === undefined) throw searchUnavailable("embedding_invalid", undefined);
    return vector;
  } catch (error) {
    if (signal.aborted) throw searchUnavailable("embedding_timeout", error);
    if (error instanceof AppError) throw searchUnavailable(error.code, error);
    throw error;
  }
}

function searchUnavailable(code: string, cause: unknown): AppError {
  const retryAfterMs = cause instanceof AppError ? cause.retryAfterMs : undefined;
  return new AppError({
    kind: "transient",
    code,
    message: "The question could not be embedded, so nothing was searched.",
    cause,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}
