import { isAbsolute, join } from "node:path";
import { openEmbedded, openPostgres, type Database } from "@pipeline/db";
import { createLocalEmbedder, createOpenAiEmbedder, type Embedder } from "@pipeline/embedding";
import { AppError, type Environment, type Logger } from "@pipeline/runtime";
import { loadOrCreateSecret } from "@pipeline/storage";

/**
 * Which implementation serves which interface, decided by what is configured. `parseEnvironment` has refused the
 * local stand-ins in staging and production before anything here runs.
 */
export async function openDatabase(environment: Environment, service: string, log: Logger): Promise<Database> {
  const url = databaseUrl(environment);
  if (url === undefined) {
    const directory = join(dataDirectory(environment), "postgres");
    return openEmbedded({ schemaName: environment.DATABASE_SCHEMA, directory });
  }
  const listenUrl = environment.DATABASE_DIRECT_URL;
  return openPostgres({
    url,
    ...(listenUrl === undefined ? {} : { listenUrl }),
    schemaName: environment.DATABASE_SCHEMA,
    applicationName: `upload-pipeline ${service}`,
    poolSize: environment.DATABASE_POOL_SIZE,
    ...(service === "api" ? impatience(environment.DATABASE_POOL_SIZE) : {}),
    onIdleError: (err) => log.warn({ err }, "idle database connection lost"),
  });
}

/**
 * Somebody waits for what the API asks: better a 503 soon than an answer that nobody waits for any more. What waits for a
 * connection is bounded, so that a burst is turned away and does not pile up.
 */
function impatience(poolSize: number) {
  return { connectTimeoutMs: 3_000, statementTimeoutMs: 15_000, maxWaiting: 20 * poolSize };
}

/** The configured provider, or the local lexical embedder. API and worker must agree: search compares one model only. */
export function createEmbedder(environment: Environment): Embedder {
  if (environment.OPENAI_API_KEY === undefined) return createLocalEmbedder();
  return createOpenAiEmbedder({
    apiKey: environment.OPENAI_API_KEY,
    model: environment.RAG_EMBEDDING_MODEL,
    usdPerMillionTokens: environment.OPENAI_USD_PER_MILLION_TOKENS,
    requestsPerMinute: environment.OPENAI_REQUESTS_PER_MINUTE,
    tokensPerMinute: environment.OPENAI_TOKENS_PER_MINUTE,
    maxInFlight: environment.OPENAI_MAX_IN_FLIGHT,
    ...(environment.OPENAI_BASE_URL === undefined ? {} : { baseUrl: environment.OPENAI_BASE_URL }),
  });
}

/** What tokens are signed with: the project's secret, or in development one that is made once and kept. */
export async function tokenSecret(environment: Environment): Promise<string> {
  if (environment.SUPABASE_JWT_SECRET !== undefined) return environment.SUPABASE_JWT_SECRET;
  return loadOrCreateSecret({ directory: dataDirectory(environment), name: "token-secret" });
}

/** Where clients reach the API. */
export function publicUrl(environment: Environment): string {
  return environment.SERVICE_PUBLIC_URL ?? `http://${listenHost(environment)}:${listenPort(environment)}`;
}

export function listenPort(environment: Environment): number {
  return environment.PORT ?? environment.SERVICE_PORT;
}

/** An address that a client on this machine can use for what the service binds to. */
function listenHost(environment: Environment): string {
  return ["0.0.0.0", "::"].includes(environment.SERVICE_HOST) ? "127.0.0.1" : environment.SERVICE_HOST;
}

function databaseUrl(environment: Environment): string | undefined {
  if (environment.DATABASE_URL !== undefined) return environment.DATABASE_URL;
  if (environment.SUPABASE_DB_HOST === undefined) return undefined;
  const url = new URL("postgresql://host");
  url.hostname = environment.SUPABASE_DB_HOST;
  if (url.hostname === "") {
    throw new AppError({ kind: "invalid", code: "invalid_config", message: "SUPABASE_DB_HOST is not a host name." });
  }
  url.port = String(environment.SUPABASE_DB_PORT);
  url.username = encodeURIComponent(environment.SUPABASE_DB_USER);
  url.password = encodeURIComponent(environment.SUPABASE_DB_PASSWORD ?? "");
  url.pathname = `/${encodeURIComponent(environment.SUPABASE_DB_NAME)}`;
  return url.toString();
}

const PROJECT_ROOT = join(import.meta.dirname, "../../..");

/** Relative to the project, whatever directory a command was started in, so that all processes mean the same place. */
export function dataDirectory(environment: Environment): string {
  return isAbsolute(environment.DATA_DIR) ? environment.DATA_DIR : join(PROJECT_ROOT, environment.DATA_DIR);
}
