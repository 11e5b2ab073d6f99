export { assertVectors } from "./assert-vectors.ts";
export {
  type BatchLimits,
  type Embedder,
  EMBEDDING_DIMENSIONS,
  type EmbedOptions,
  type EmbedResult,
} from "./embedder.ts";
export { createLocalEmbedder } from "./local-embedder.ts";
export { createOpenAiEmbedder, type OpenAiEmbedderInput } from "./openai-embedder.ts";
export { packBatches } from "./pack-batches.ts";
