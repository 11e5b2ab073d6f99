/** Length of every vector, fixed by the column `document_chunks.embedding vector(1536)`. */
export const EMBEDDING_DIMENSIONS = 1536;

export interface EmbedResult {
  /** One per text, in the order of the texts; each EMBEDDING_DIMENSIONS finite numbers, not all zero. */
  vectors: number[][];
  /** Tokens the provider counted, which is what it bills; 0 where nothing is billed. */
  total_tokens: number;
}

export interface EmbedOptions {
  signal?: AbortSignal;
  correlationId?: string;
}

export interface BatchLimits {
  maxInputs: number;
  /** Sum over the texts of one request. */
  maxTokens: number;
}

/** Turns texts into vectors whose cosine says how alike they are. */
export interface Embedder {
  /** Stored next to each vector; vectors of different models are never compared. */
  readonly model: string;
  readonly dimensions: number;
  /** What one call of `embed` may hold; `packBatches` keeps to it. */
  readonly batch: BatchLimits;
  /**
   * One provider request; none for an empty list. Never retries: the caller does, by the error's kind.
   * Throws AppError with an `embedding_…` code, or the signal's reason once the signal is aborted.
   */
  embed(texts: string[], options: EmbedOptions): Promise<EmbedResult>;
}
