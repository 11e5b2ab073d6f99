export { assertVectors } from "./assert-vectors.ts";
export {
  type BatchLimits,
  type Embedder,
  EMBEDDING_DIMENSIONS,
  type EmbeddingProvider,
  type EmbedOptions,
  type EmbedResult,
  type RateHints,
} from "./embedder.ts";
export { type Blame, judgeEmbeddingFailure, type Judgement } from "./judge-failure.ts";
export { createLocalEmbedder } from "./local-embedder.ts";
export { createOpenAiEmbedder, type OpenAiEmbedderInput } from "./openai-embedder.ts";
export { packBatches } from "./pack-batches.ts";
