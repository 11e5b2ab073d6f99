import type { Budgets, UploadAllowance } from "@pipeline/db";
import { LIMITS, type Environment } from "@pipeline/runtime";
import type { StreamSettings } from "./streams/job-streams.ts";

export interface ApiSettings {
  environment: Environment["ENVIRONMENT"];
  /** What runs: version, and commit where the platform tells it. */
  build: string;
  /** Origins of pages that may call the API; none: browsers of other origins are refused. */
  corsOrigins: readonly string[];
  uploadLimits: UploadLimits;
  /** What one user may have. */
  uploadAllowance: UploadAllowance;
  /** What searches may be paid with, together with everything else that is paid. */
  budgets: Budgets;
  requestLimits: RequestLimits;
  /** Proxies whose X-Forwarded-For counts, by number or address; false: none. */
  trustProxy: number | string[] | false;
  search: SearchSettings;
  streams: StreamSettings;
  /** The event loop may lag by so much before requests are turned away; 0: whatever it does. */
  maxLagMs: number;
  /** After which a client must have sent the headers of its request. */
  headersTimeoutMs: number;
  /** After this long a part of the system that health asks counts as out of order. */
  probeTimeoutMs: number;
  /** Whether workers read documents themselves while the parsing provider is out of order. */
  hasParserFallback: boolean;
  metricsAccess: MetricsAccess;
}

/** Who may see /metrics: everybody, nobody, or who has the token. */
export type MetricsAccess = "open" | "closed" | { token: string };

export interface UploadLimits {
  maxFileBytes: number;
  maxPages: number;
  maxFilenameChars: number;
  maxMetadataBytes: number;
  /** How long an upload link lives, in seconds. */
  uploadLinkSeconds: number;
}

/** In a minute. */
export interface RequestLimits {
  perUser: number;
  perAddress: number;
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

/** Answers are late by as much; what comes beyond would only make it worse. */
const MAX_LAG_MS = 1_000;
/** Mobile clients take seconds, nobody takes longer in earnest. */
const HEADERS_TIMEOUT_MS = 20_000;

/** Proxies close connections on which nothing was sent for 30 to 60 seconds. */
const STREAM_SETTINGS: StreamSettings = {
  maxStreams: LIMITS.maxStreams,
  maxStreamsPerUser: LIMITS.maxStreamsPerUser,
  pollMs: 1_000,
  heartbeatMs: 15_000,
};

/** What the environment says about the API. */
export function settingsFrom(environment: Environment, build = "development"): ApiSettings {
  return {
    environment: environment.ENVIRONMENT,
    build,
    corsOrigins: environment.CORS_ORIGINS,
    uploadLimits: LIMITS,
    uploadAllowance: {
      maxInFlight: environment.LIMIT_UPLOADS_IN_FLIGHT,
      maxPerDay: environment.LIMIT_UPLOADS_PER_DAY,
    },
    budgets: {
      usdPerDay: environment.BUDGET_USD_PER_DAY,
      usdPerUserPerDay: environment.BUDGET_USD_PER_USER_PER_DAY,
    },
    requestLimits: {
      perUser: environment.LIMIT_REQUESTS_PER_MINUTE,
      perAddress: environment.LIMIT_REQUESTS_PER_MINUTE_PER_ADDRESS,
    },
    trustProxy: environment.TRUST_PROXY ?? false,
    search: {
      threshold: environment.RAG_SIMILARITY_THRESHOLD,
      maxChunks: environment.RAG_MAX_CHUNKS,
      tokenBudget: environment.RAG_TOKEN_BUDGET,
    },
    maxLagMs: MAX_LAG_MS,
    headersTimeoutMs: HEADERS_TIMEOUT_MS,
    probeTimeoutMs: PROBE_TIMEOUT_MS,
    hasParserFallback: environment.LLAMAPARSE_FALLBACK === "local",
    metricsAccess: metricsAccess(environment),
    streams: STREAM_SETTINGS,
  };
}

/** On a machine that strangers reach nobody sees the figures without a token. */
function metricsAccess({ ENVIRONMENT, METRICS_TOKEN: token }: Environment): MetricsAccess {
  if (token !== undefined) return { token };
  return ENVIRONMENT === "development" || ENVIRONMENT === "test" ? "open" : "closed";
}
