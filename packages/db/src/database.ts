import { AppError } from "@pipeline/runtime";
import { Client, Pool, TypeOverrides, types, type ClientBase, type PoolConfig } from "pg";
import { z } from "zod";
import { translateDatabaseError } from "./errors.ts";
import type { Parameter, Queryable } from "./queryable.ts";

/** A database that this process owns: hands out transactions and is closed once. */
export interface Database extends Queryable {
  readonly kind: "postgres" | "embedded";
  /** The schema name as configured, not quoted. */
  readonly schemaName: string;
  /** Runs `work` in one transaction; whatever it throws rolls back. Never call the database itself inside `work`. */
  transaction<T>(work: (tx: Queryable) => Promise<T>): Promise<T>;
  /** Calls back on every NOTIFY of the channel until the returned function is called; survives lost connections. */
  listen(channel: string, onNotify: () => void, onLost: (error: unknown) => void): Promise<() => Promise<void>>;
  close(): Promise<void>;
}

export interface PostgresOptions {
  url: string;
  schemaName: string;
  applicationName: string;
  /** Most connections of this process, the listening one not counted. */
  poolSize: number;
  /** Told of errors on idle connections; without a listener they would end the process. */
  onIdleError: (error: unknown) => void;
}

/** Connects lazily: the first statement fails when there is no server. */
export function openPostgres(options: PostgresOptions): Database {
  const pool = new Pool(poolConfig(options));
  pool.on("error", options.onIdleError);
  return buildDatabase({
    kind: "postgres",
    schemaName: options.schemaName,
    pool,
    listen: (channel, onNotify, onLost) => listenOnOwnConnection({ options, channel, onNotify, onLost }),
    close: () => pool.end(),
  });
}

/** Statements longer than this are hung, not slow: the longest of ours (storing a batch of vectors) takes seconds. */
const STATEMENT_TIMEOUT_MS = 60_000;
const CONNECT_TIMEOUT_MS = 10_000;

function poolConfig(options: PostgresOptions): PoolConfig {
  return {
    connectionString: options.url,
    application_name: options.applicationName,
    max: options.poolSize,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    // Client-side, because a pooler in transaction mode refuses these as start-up parameters.
    query_timeout: STATEMENT_TIMEOUT_MS,
    keepAlive: true,
    types: createTypeParsers(),
  };
}

/** bigint columns (fences, counters, byte lengths) arrive as numbers; past 2^53 they are refused rather than rounded. */
export function createTypeParsers(): TypeOverrides {
  const parsers = new TypeOverrides();
  parsers.setTypeParser(types.builtins.INT8, parseBigint);
  return parsers;
}

function parseBigint(value: string): number {
  const parsed = Number(value);
  if (!Number.isSafeInteger(parsed)) {
    throw new AppError({ kind: "internal", code: "number_too_large", message: "A number exceeds 2^53." });
  }
  return parsed;
}

export interface DatabaseParts {
  kind: Database["kind"];
  schemaName: string;
  pool: Pool;
  listen: Database["listen"];
  close: () => Promise<void>;
}

export function buildDatabase(parts: DatabaseParts): Database {
  const schema = quoteIdentifier(parts.schemaName);
  let closed: Promise<void> | undefined;
  return {
    ...queryableOn(parts.pool, schema),
    kind: parts.kind,
    schemaName: parts.schemaName,
    transaction: (work) => runTransaction(parts.pool, schema, work),
    listen: parts.listen,
    close: () => (closed ??= parts.close()),
  };
}

/** The one place where an identifier meets SQL text. Refuses what Postgres would cut (63 bytes) or need quoting for. */
function quoteIdentifier(name: string): string {
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(name)) {
    throw new AppError({ kind: "invalid", code: "invalid_schema_name", message: `"${name}" is not a schema name.` });
  }
  return `"${name}"`;
}

function queryableOn(connection: Pool | ClientBase, schema: string): Queryable {
  return {
    schema,
    async many(row, sql, parameters = []) {
      const result = await send(connection, sql, parameters);
      return z.array(row).parse(result.rows);
    },
    async run(sql, parameters = []) {
      const result = await send(connection, sql, parameters);
      return result.rowCount ?? 0;
    },
  };
}

async function send(connection: Pool | ClientBase, sql: string, parameters: readonly Parameter[]) {
  try {
    return await connection.query<Record<string, unknown>>(sql, [...parameters]);
  } catch (error) {
    throw translateDatabaseError(error);
  }
}

async function runTransaction<T>(pool: Pool, schema: string, work: (tx: Queryable) => Promise<T>): Promise<T> {
  const client = await pool.connect().catch((error: unknown) => {
    throw translateDatabaseError(error);
  });
  let broken: Error | undefined;
  const onError = (error: Error): void => {
    broken = error;
  };
  client.on("error", onError);
  try {
    await send(client, "begin", []);
    const result = await work(queryableOn(client, schema));
    await send(client, "commit", []);
    return result;
  } catch (error) {
    // A connection whose rollback fails must not go back into the pool with its transaction open.
    await client.query("rollback").catch((failure: Error) => {
      broken = failure;
    });
    throw translateIfDriver(error);
  } finally {
    client.off("error", onError);
    client.release(broken);
  }
}

/** What `work` threw on purpose passes through; only the driver's errors are translated. */
function translateIfDriver(error: unknown): unknown {
  return error instanceof Error && "severity" in error ? translateDatabaseError(error) : error;
}

interface ListenOptions {
  options: PostgresOptions;
  channel: string;
  onNotify: () => void;
  onLost: (error: unknown) => void;
}

const RECONNECT_MS = 2_000;

/** LISTEN needs a session of its own; when it is lost it is opened again, and polling covers the gap. */
async function listenOnOwnConnection(listener: ListenOptions): Promise<() => Promise<void>> {
  const closing = new AbortController();
  let client: Client | undefined;
  let timer: NodeJS.Timeout | undefined;

  const reconnectLater = (error: unknown): void => {
    if (closing.signal.aborted) return;
    client = undefined;
    listener.onLost(error);
    timer = setTimeout(() => void connect(), RECONNECT_MS);
  };
  const connect = async (): Promise<void> => {
    const { url, applicationName } = listener.options;
    const attempt = new Client({
      connectionString: url,
      application_name: `${applicationName} listen`,
      keepAlive: true,
    });
    let lost = false;
    const lose = (error: unknown): void => {
      if (lost) return;
      lost = true;
      void closeQuietly(attempt);
      reconnectLater(error);
    };
    attempt.on("error", lose);
    attempt.on("end", () => lose(new Error("connection ended")));
    attempt.on("notification", listener.onNotify);
    try {
      await attempt.connect();
      await attempt.query(`listen ${quoteIdentifier(listener.channel)}`);
      client = attempt;
      // Whatever was announced while nobody listened is covered by one wake-up now.
      listener.onNotify();
    } catch (error) {
      lose(error);
    }
  };
  await connect();
  return async () => {
    closing.abort();
    clearTimeout(timer);
    if (client) await closeQuietly(client);
  };
}

/** A connection that is already lost may fail to close; there is nothing left to do about it. */
async function closeQuietly(client: Client): Promise<void> {
  await client.end().catch(() => undefined);
}
