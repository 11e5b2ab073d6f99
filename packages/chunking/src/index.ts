export { CHUNKER, chunkDocument } from "./chunk-document.ts";
export type { Chunk, ChunkInput } from "./chunk-document.ts";
export { DEFAULT_CHUNK_OPTIONS } from "./chunk-options.ts";
export type { ChunkOptions } from "./chunk-options.ts";
export { countTokens } from "./count-tokens.ts";
export { documentContent } from "./document-content.ts";
export type { Page } from "./document-content.ts";
export { embeddingText } from "./embedding-text.ts";
