import { AppError } from "@pipeline/runtime";
import { EMBEDDING_DIMENSIONS } from "./embedder.ts";

/**
 * Throws `embedding_invalid` unless there are `count` vectors that Postgres can store and compare. Transient:
 * a provider that answers wrongly once is worth another try.
 */
export function assertVectors(vectors: readonly (readonly number[])[], count: number): void {
  if (vectors.length !== count) throw invalidEmbedding(`${vectors.length} vectors came back for ${count} texts`);
  for (const [index, vector] of vectors.entries()) {
    const fault = findFault(vector);
    if (fault !== undefined) throw invalidEmbedding(`vector ${index} ${fault}`);
  }
}

/** The answer of a provider that cannot be used; `fault` must not quote the answer. */
export function invalidEmbedding(fault: string): AppError {
  return new AppError({
    kind: "transient",
    code: "embedding_invalid",
    message: `The embedding service gave an unusable answer: ${fault}.`,
  });
}

function findFault(vector: readonly number[]): string | undefined {
  if (vector.length !== EMBEDDING_DIMENSIONS) {
    return `has ${vector.length} dimensions instead of ${EMBEDDING_DIMENSIONS}`;
  }
  let isZero = true;
  for (const value of vector) {
    // pgvector stores 32-bit floats: what overflows or vanishes there is as wrong as NaN or zero here.
    const stored = Math.fround(value);
    if (!Number.isFinite(stored)) return "holds a number that is not finite";
    if (stored !== 0) isZero = false;
  }
  return isZero ? "is all zeros" : undefined;
}
