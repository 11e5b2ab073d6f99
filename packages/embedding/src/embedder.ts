/** Length of every vector, fixed by the column `document_chunks.embedding vector(1536)`. */
export const EMBEDDING_DIMENSIONS = 1536;

export interface EmbedResult {
  /** One per text, in the order of the texts; each EMBEDDING_DIMENSIONS finite numbers, not all zero. */
  vectors: number[][];
  /** Tokens the provider counted, which is what it bills; 0 where nothing is billed. */
  total_tokens: number;
}

/** What a provider's answer says about its limits; any part may be missing. */
export interface RateHints {
  /** Per minute. */
  limitRequests: number | undefined;
  limitTokens: number | undefined;
  /** Left at this moment. */
  remainingRequests: number | undefined;
  remainingTokens: number | undefined;
}

export interface EmbedOptions {
  signal?: AbortSignal;
  correlationId?: string;
  /** Told of what an answer says about limits, whether it is a success or an error. */
  onRateHints?: (hints: RateHints) => void;
}

/** Who is paid for embeddings, and how much and how fast may be asked. */
export interface EmbeddingProvider {
  /** Limits, faults and costs are counted under this name. */
  name: string;
  usdPerMillionTokens: number;
  /** All workers together keep to these; what the provider itself says it allows goes before, where it is less. */
  requestsPerMinute: number;
  tokensPerMinute: number;
  /** Requests under way at once, of all workers together. */
  maxInFlight: number;
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
  /** Undefined where nobody limits and nobody bills. */
  readonly provider?: EmbeddingProvider;
  /**
   * One provider request; none for an empty list. Never retries: the caller does, by the error's kind.
   * Throws AppError with an `embedding_…` code, or the signal's reason once the signal is aborted.
   */
  embed(texts: string[], options: EmbedOptions): Promise<EmbedResult>;
}
