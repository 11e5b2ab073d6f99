import { LIMITS, type Environment } from "@pipeline/runtime";

export interface ApiSettings {
  environment: Environment["ENVIRONMENT"];
  /** What runs: version, and commit where the platform tells it. */
  build: string;
  /** Origins of pages that may call the API; none: browsers of other origins are refused. */
  corsOrigins: readonly string[];
  uploadLimits: UploadLimits;
  search: SearchSettings;
  /** After this long a part of the system that health asks counts as out of order. */
  probeTimeoutMs: number;
}

export interface UploadLimits {
  maxFileBytes: number;
  maxPages: number;
  maxFilenameChars: number;
  maxMetadataBytes: number;
  /** How long an upload link lives, in seconds. */
  uploadLinkSeconds: number;
}

/** Each is the default of a search and, but for the threshold, the most that one may ask for. */
export interface SearchSettings {
  /** Least cosine similarity, -1 to 1. */
  threshold: number;
  maxChunks: number;
  /** Sum of `token_count` over the results. */
  tokenBudget: number;
}

/** Platforms give a health check 5 s and more. */
const PROBE_TIMEOUT_MS = 2_000;

/** What the environment says about the API. */
export function settingsFrom(environment: Environment, build = "development"): ApiSettings {
  return {
    environment: environment.ENVIRONMENT,
    build,
    corsOrigins: environment.CORS_ORIGINS,
    uploadLimits: LIMITS,
    search: {
      threshold: environment.RAG_SIMILARITY_THRESHOLD,
      maxChunks: environment.RAG_MAX_CHUNKS,
      tokenBudget: environment.RAG_TOKEN_BUDGET,
    },
    probeTimeoutMs: PROBE_TIMEOUT_MS,
  };
}
