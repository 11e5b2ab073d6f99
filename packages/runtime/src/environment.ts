import { z } from "zod";

export const ENVIRONMENTS = ["development", "test", "staging", "production"] as const;
const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal"] as const;

const url = (protocol: RegExp) => z.url({ protocol, error: "is not a URL of the expected kind" });
const httpUrl = url(/^https?$/).transform((value) => value.replace(/\/+$/, ""));
/** Scheme, host and port, which is all that a browser sends as its origin. */
const originUrl = httpUrl.refine((value) => new URL(value).origin === value.toLowerCase(), {
  error: "is not a list of origins like https://app.example.com",
});
const baseUrl = httpUrl.refine((value) => !/[?#]/.test(value), { error: "is not a URL without query" });
const port = z.coerce.number().int().min(1).max(65_535);
const secret = z.string().min(16, { error: "is shorter than 16 characters" });
const apiKey = z.string().min(8, { error: "is shorter than 8 characters" });

const proxyAddress = z.union([z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6()]);
const trustedProxies = z.union([z.int().min(1).max(10), z.array(proxyAddress).min(1)], {
  error: "is neither a number of proxies nor a list of addresses like 10.0.0.0/8",
});

const headers = z
  .string()
  .transform(splitHeaders)
  .refine((pairs) => Object.entries(pairs).every(([name, value]) => isHeader(name, value)), {
    error: "is not a list like name=value,other=value",
  });

/**
 * Every variable that a service of this project reads, with its meaning in .env.example. An empty value counts as
 * unset. Durations are seconds, as the operators' guide has them.
 */
export const environmentSchema = z.object({
  ENVIRONMENT: z.enum(ENVIRONMENTS).default("development"),
  DEBUG: z.stringbool().default(false),
  LOG_LEVEL: z.enum(LOG_LEVELS).default("info"),

  /** Commit that the running code was built from, shown by /health; the images set it. */
  BUILD_COMMIT: z.string().default("unknown"),

  SERVICE_HOST: z.string().default("127.0.0.1"),
  SERVICE_PORT: port.default(8000),
  /** Set by Render; wins over SERVICE_PORT. */
  PORT: port.optional(),
  /** Where clients reach the API; defaults to what it listens on. Signed links of the disk store start with it. */
  SERVICE_PUBLIC_URL: baseUrl.optional(),
  /** Proxies before the API whose X-Forwarded-For counts: how many, or their addresses; none by default. */
  TRUST_PROXY: z.string().transform(splitProxies).pipe(trustedProxies).optional(),
  CORS_ORIGINS: z.string().transform(splitOrigins).pipe(z.array(originUrl)).default([]),

  DATABASE_URL: url(/^postgres(ql)?$/).optional(),
  /** Past a pooler in transaction mode, for LISTEN alone; without it such workers poll. */
  DATABASE_DIRECT_URL: url(/^postgres(ql)?$/).optional(),
  /** For migrate alone: the schema's owner, where DATABASE_URL is the login of a service. */
  MIGRATE_DATABASE_URL: url(/^postgres(ql)?$/).optional(),
  SUPABASE_DB_HOST: z.string().optional(),
  SUPABASE_DB_PORT: port.default(5432),
  SUPABASE_DB_USER: z.string().default("postgres"),
  SUPABASE_DB_PASSWORD: z.string().optional(),
  SUPABASE_DB_NAME: z.string().default("postgres"),
  DATABASE_SCHEMA: z
    .string()
    .regex(/^[a-z_][a-z0-9_]{0,62}$/, { error: "is not a plain lower-case schema name" })
    .default("upload_pipeline"),
  /** For migrate alone: lets the services' roles, SCHEMA_api and SCHEMA_worker, log in with these. */
  DATABASE_API_PASSWORD: z.string().min(8, { error: "is shorter than 8 characters" }).optional(),
  DATABASE_WORKER_PASSWORD: z.string().min(8, { error: "is shorter than 8 characters" }).optional(),
  /** Connections of one process. */
  DATABASE_POOL_SIZE: z.coerce.number().int().min(1).max(200).default(10),

  SUPABASE_URL: baseUrl.optional(),
  SUPABASE_ANON_KEY: apiKey.optional(),
  SUPABASE_SERVICE_ROLE_KEY: apiKey.optional(),
  SUPABASE_JWT_SECRET: secret.optional(),

  LLAMAPARSE_API_KEY: apiKey.optional(),
  LLAMAPARSE_BASE_URL: httpUrl.optional(),
  LLAMAPARSE_TIER: z.enum(["fast", "cost_effective", "agentic", "agentic_plus"]).default("cost_effective"),
  LLAMAPARSE_VERSION: z
    .string()
    .regex(/^(latest|\d{4}-\d{2}-\d{2})$/, { error: "is neither a date nor latest" })
    .default("latest"),
  /** What reads documents while LlamaParse is out of order, and where its faults outlast the retries; by default nothing does. */
  LLAMAPARSE_FALLBACK: z.enum(["local"]).optional(),
  OPENAI_API_KEY: apiKey.optional(),
  OPENAI_BASE_URL: httpUrl.optional(),
  /** Needed for models whose price is not known here. */
  OPENAI_USD_PER_MILLION_TOKENS: z.coerce.number().min(0).max(1_000).optional(),
  /** What all workers together may ask for; below 2 a minute the burst alone would be over the limit. */
  OPENAI_REQUESTS_PER_MINUTE: z.coerce.number().int().min(2).optional(),
  /** Half of it must hold the largest input. */
  OPENAI_TOKENS_PER_MINUTE: z.coerce.number().int().min(20_000).optional(),
  OPENAI_MAX_IN_FLIGHT: z.coerce.number().int().min(1).max(1_000).optional(),

  BUDGET_USD_PER_DAY: z.coerce.number().min(0).optional(),
  BUDGET_USD_PER_USER_PER_DAY: z.coerce.number().min(0).optional(),

  /** What one user may have and ask, over all processes of the API. */
  LIMIT_UPLOADS_IN_FLIGHT: z.coerce.number().int().min(1).max(1_000_000).default(1_000),
  LIMIT_UPLOADS_PER_DAY: z.coerce.number().int().min(1).max(1_000_000).default(5_000),
  LIMIT_REQUESTS_PER_MINUTE: z.coerce.number().int().min(1).max(1_000_000).default(600),
  /** What one address may ask, whoever asks: an office can be behind it. */
  LIMIT_REQUESTS_PER_MINUTE_PER_ADDRESS: z.coerce.number().int().min(1).max(10_000_000).default(3_000),

  /** Asked for by /metrics; in staging and production the API has no /metrics without it. */
  METRICS_TOKEN: secret.optional(),
  /** Where alerts are told, as Slack takes them. The address is a secret. */
  ALERT_WEBHOOK_URL: httpUrl.optional(),
  /** Where traces go, by OTLP over HTTP; nowhere by default. */
  OTEL_EXPORTER_OTLP_ENDPOINT: baseUrl.optional(),
  /** Sent along with each export; mostly a key. */
  OTEL_EXPORTER_OTLP_HEADERS: headers.optional(),
  OTEL_SERVICE_NAME: z.string().max(255).optional(),

  RAG_SIMILARITY_THRESHOLD: z.coerce.number().min(-1).max(1).default(0.3),
  RAG_MAX_CHUNKS: z.coerce.number().int().min(1).max(100).default(10),
  RAG_TOKEN_BUDGET: z.coerce.number().int().min(1).max(200_000).default(4_000),
  RAG_EMBEDDING_MODEL: z.string().default("text-embedding-3-small"),
  /** The column is vector(1536); another number needs a migration. */
  RAG_VECTOR_DIMENSION: z.coerce
    .number()
    .refine((value) => value === 1_536, { error: "must be 1536, the width of the embedding column" })
    .default(1_536),

  WORKER_POLL_INTERVAL: z.coerce.number().min(0.05).max(300).default(5),
  WORKER_MAX_RETRIES: z.coerce.number().int().min(0).max(20).default(3),
  WORKER_RETRY_BASE_DELAY: z.coerce.number().min(0.01).max(300).default(1),
  WORKER_LOG_LEVEL: z.enum(LOG_LEVELS).optional(),
  /** Where the worker answers /health and /metrics; nowhere by default. */
  WORKER_HEALTH_PORT: port.optional(),
  /** Jobs that one worker process has in hand at once. */
  WORKER_CONCURRENCY: z.coerce.number().int().min(1).max(64).default(4),
  /** Jobs of one user that all workers together have in hand; no limit by default. The same for all workers. */
  WORKER_MAX_JOBS_PER_USER: z.coerce.number().int().min(1).max(100_000).optional(),
  /** How long after its end a job's history is kept; 0: for ever. */
  WORKER_HISTORY_AGE: z.coerce
    .number()
    .refine((value) => value === 0 || value >= 86_400, { error: "is neither 0 nor a day (86400) or more" })
    .default(7_776_000),

  /** Where the local stand-ins keep their data: disk store, embedded database, development secrets. */
  DATA_DIR: z.string().default(".data"),
});

export type Environment = z.infer<typeof environmentSchema>;
export type EnvironmentName = keyof Environment;

function splitProxies(value: string): number | string[] {
  return /^\d+$/.test(value) ? Number(value) : splitOrigins(value);
}

/** Values are percent-encoded, as OpenTelemetry has them. */
function splitHeaders(value: string): Record<string, string> {
  return Object.fromEntries(splitOrigins(value).map(splitHeader));
}

function splitHeader(pair: string): [name: string, value: string] {
  const end = pair.indexOf("=");
  return [end < 0 ? "" : pair.slice(0, end).trim(), decodePercents(pair.slice(end + 1).trim())];
}

/** What is not encoded is meant as it stands. */
function decodePercents(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

function isHeader(name: string, value: string): boolean {
  return /^[\w!#$%&'*+.^`|~-]+$/.test(name) && /^[\t\x20-\x7e]+$/.test(value);
}

function splitOrigins(value: string): string[] {
  return value
    .split(",")
    .map((origin) => origin.trim())
    .filter((origin) => origin !== "");
}
