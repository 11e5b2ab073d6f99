import { AppError } from "@pipeline/runtime";
import { Pool, TypeOverrides, types, type ClientBase, type PoolConfig } from "pg";
import { databaseBusy, endsConnection, translateDatabaseError } from "./errors.ts";
import { type ChannelListener, listenOnOwnConnection } from "./listen.ts";
import { createStatementNames, isOutOfDate, type StatementNames } from "./prepared-statements.ts";
import type { Parameter, Queryable, StatementOptions } from "./queryable.ts";
import { quoteIdentifier } from "./quote-identifier.ts";

/** A database that this process owns: hands out transactions and is closed once. */
export interface Database extends Queryable {
  readonly kind: "postgres" | "embedded";
  /** The schema name as configured, not quoted. */
  readonly schemaName: string;
  /** Runs `work` in one transaction; whatever it throws rolls back. Never call the database itself inside `work`. */
  transaction<T>(work: (tx: Queryable) => Promise<T>): Promise<T>;
  /**
   * Runs `work` in one read-only transaction whose statements all see the same moment. While it runs the server keeps
   * every dead row, so keep it short.
   */
  snapshot<T>(work: (tx: Queryable) => Promise<T>): Promise<T>;
  /**
   * Calls back on every NOTIFY of the channel until the returned function is called; survives lost connections. Resolves
   * when LISTEN is in force, or the first try to bring it about has failed.
   */
  listen(channel: string, listener: ChannelListener): Promise<() => Promise<void>>;
  /** The pool as it is at this moment. */
  connections(): Connections;
  close(): Promise<void>;
}

export interface Connections {
  in_use: number;
  idle: number;
  /** Statements and transactions that wait for a connection. */
  waiting: number;
  /** The most that the pool opens. */
  limit: number;
}

export interface PostgresOptions {
  url: string;
  /** Where LISTEN goes instead of `url`: past a pooler in transaction mode, which does not pass NOTIFY on. */
  listenUrl?: string;
  schemaName: string;
  applicationName: string;
  /** Most connections of this process, the listening one not counted. */
  poolSize: number;
  /** How long to wait for a connection, be it a new one or one in use; 10 s by default. */
  connectTimeoutMs?: number;
  /** After which a statement counts as hung; 60 s by default. */
  statementTimeoutMs?: number;
  /** How many may wait for a connection before others are turned away as `database_busy`; any number by default. */
  maxWaiting?: number;
  /** Told of errors on idle connections; without a listener they would end the process. */
  onIdleError: (error: unknown) => void;
}

/** Connects lazily: the first statement fails when there is no server. */
export function openPostgres(options: PostgresOptions): Database {
  const pool = new Pool(poolConfig(options));
  pool.on("error", options.onIdleError);
  // Between leaving the pool and the borrower's own listener a lost connection would end the process: the borrower's next
  // statement fails all the same.
  pool.on("connect", (client) => client.on("error", () => undefined));
  return buildDatabase({
    kind: "postgres",
    schemaName: options.schemaName,
    pool,
    maxWaiting: options.maxWaiting,
    statementTimeoutMs: options.statementTimeoutMs,
    listen: (channel, listener) => {
      const { listenUrl, url, applicationName } = options;
      const connection = { url: listenUrl ?? url, applicationName, connectTimeoutMs: CONNECT_TIMEOUT_MS };
      return listenOnOwnConnection(connection, { ...listener, channel });
    },
    close: () => pool.end(),
  });
}

/** Statements longer than this are hung, not slow: the longest of a worker (storing a batch of vectors) takes seconds. */
export const STATEMENT_TIMEOUT_MS = 60_000;
const CONNECT_TIMEOUT_MS = 10_000;

function poolConfig(options: PostgresOptions): PoolConfig {
  return {
    connectionString: options.url,
    application_name: options.applicationName,
    max: options.poolSize,
    connectionTimeoutMillis: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
    // Client-side, because a pooler in transaction mode refuses these as start-up parameters.
    query_timeout: options.statementTimeoutMs ?? STATEMENT_TIMEOUT_MS,
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
  maxWaiting?: number | undefined;
  statementTimeoutMs?: number | undefined;
  listen: Database["listen"];
  close: () => Promise<void>;
}

export function buildDatabase(parts: DatabaseParts): Database {
  const schema = quoteIdentifier(parts.schemaName);
  // The embedded database has nobody to keep waiting.
  const limits = parts.kind === "postgres" ? transactionLimits(parts.statementTimeoutMs ?? STATEMENT_TIMEOUT_MS) : "";
  const lender: Lender = {
    pool: parts.pool,
    maxWaiting: parts.maxWaiting ?? Number.POSITIVE_INFINITY,
    nameStatement: createStatementNames(),
  };
  let closed: Promise<void> | undefined;
  return {
    ...queryableOn(schema, (work) => withConnection(lender, work)),
    kind: parts.kind,
    schemaName: parts.schemaName,
    transaction: (work) => runTransaction(lender, { schema, begin: `begin;${limits}`, work }),
    snapshot: (work) =>
      runTransaction(lender, { schema, begin: `begin isolation level repeatable read, read only;${limits}`, work }),
    listen: parts.listen,
    connections: () => countConnections(parts.pool),
    close: () => (closed ??= parts.close()),
  };
}

/**
 * A worker that is frozen or cut off inside a transaction must not keep the rows that it locked: it ends
 * before the lease of 12 s does, and its jobs still run elsewhere within 20 s. Set locally, because a pooler in transaction mode
 * takes them neither at start-up nor for longer than the transaction.
 */
function transactionLimits(statementTimeoutMs: number): string {
  return `
  set local idle_in_transaction_session_timeout = '10s';
  set local lock_timeout = '${Math.min(10_000, statementTimeoutMs)}ms';
  set local statement_timeout = '${statementTimeoutMs}ms'`;
}

/** Where connections come from. */
interface Lender {
  pool: Pool;
  maxWaiting: number;
  nameStatement: StatementNames;
}

function countConnections(pool: Pool): Connections {
  const { totalCount, idleCount, waitingCount } = pool;
  return { in_use: totalCount - idleCount, idle: idleCount, waiting: waitingCount, limit: pool.options.max };
}

/** A connection in use; once `broken` it must not go back into the pool. */
interface Connection {
  readonly client: ClientBase;
  readonly nameStatement: StatementNames;
  broken: Error | undefined;
}

type UseConnection = <T>(work: (connection: Connection) => Promise<T>) => Promise<T>;

function queryableOn(schema: string, use: UseConnection): Queryable {
  return {
    schema,
    async many(row, sql, parameters = [], options = {}) {
      const result = await use((connection) => send(connection, sql, parameters, options));
      return result.rows.map((each) => row.parse(each));
    },
    async run(sql, parameters = [], options = {}) {
      const result = await use((connection) => send(connection, sql, parameters, options));
      return result.rowCount ?? 0;
    },
  };
}

/**
 * Lends a connection. Unlike the pool's own `query`, it keeps a connection whose statement was merely refused: a refusal
 * is everyday business here, and the embedded database's only connection does not survive being replaced.
 */
async function withConnection<T>(
  { pool, maxWaiting, nameStatement }: Lender,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  if (pool.waitingCount >= maxWaiting) throw databaseBusy();
  const client = await pool.connect().catch((error: unknown) => {
    throw translateDatabaseError(error);
  });
  const connection: Connection = { client, nameStatement, broken: undefined };
  const onError = (error: Error): void => {
    connection.broken = error;
  };
  client.on("error", onError);
  try {
    return await work(connection);
  } finally {
    client.off("error", onError);
    client.release(connection.broken);
  }
}

async function send(
  connection: Connection,
  sql: string,
  parameters: readonly Parameter[],
  { prepare = false }: StatementOptions = {},
) {
  const { client, nameStatement } = connection;
  try {
    const name = prepare ? await nameStatement(client, sql) : undefined;
    const statement = { ...(name === undefined ? {} : { name }), text: sql, values: [...parameters] };
    return await client.query<Record<string, unknown>>(statement);
  } catch (error) {
    if (prepare && isOutOfDate(error)) {
      connection.broken = error;
      throw outOfDate(error);
    }
    if (endsConnection(error)) connection.broken = error;
    throw translateDatabaseError(error);
  }
}

interface Transaction<T> {
  schema: string;
  begin: string;
  work: (tx: Queryable) => Promise<T>;
}

function runTransaction<T>(lender: Lender, { schema, begin, work }: Transaction<T>): Promise<T> {
  return withConnection(lender, async (connection) => {
    try {
      await send(connection, begin, []);
      const result = await work(queryableOn(schema, (use) => use(connection)));
      const { command } = await send(connection, "commit", []);
      // Postgres answers COMMIT of a failed transaction with ROLLBACK and no error.
      if (command === "ROLLBACK") throw abortedTransaction();
      return result;
    } catch (error) {
      if (!connection.broken) await rollBack(connection);
      throw error;
    }
  });
}

/** A connection whose rollback fails must not go back into the pool with its transaction open. */
async function rollBack(connection: Connection): Promise<void> {
  await connection.client.query("rollback").catch((failure: Error) => {
    connection.broken = failure;
  });
}

/** The next connection does not know the statement yet. */
function outOfDate(cause: Error): AppError {
  const message = "The database was changed under way; ask again.";
  return new AppError({ kind: "transient", code: "database_conflict", message, cause });
}

function abortedTransaction(): AppError {
  return new AppError({
    kind: "internal",
    code: "transaction_aborted",
    message: "A statement of the transaction failed and was passed over; nothing was stored.",
  });
}
