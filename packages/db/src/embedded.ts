import { Pool } from "pg";
import { buildDatabase, createTypeParsers, type Database } from "./database.ts";
import { placeDirectory } from "./prepared-directory.ts";

export interface EmbeddedOptions {
  schemaName: string;
  /** Where the data is kept; undefined keeps it in memory. */
  directory?: string;
  /** A prepared data directory to start from (see `dump`), in memory only. */
  template?: Blob;
}

/** A database of this process alone, plus its data directory as a blob for clones. */
export interface EmbeddedDatabase extends Database {
  dump(): Promise<Blob>;
}

/**
 * Postgres with pgvector inside this process (PGlite), for development, the demo and tests. It has one connection:
 * statements queue up behind each other, and a transaction keeps everybody else waiting.
 */
export async function openEmbedded(options: EmbeddedOptions): Promise<EmbeddedDatabase> {
  const { PGlite, createPgConfig, vector } = await loadPGlite();
  if (options.directory !== undefined) {
    await placeDirectory(options.directory, {
      make: async (dataDir) => (await PGlite.create({ dataDir })).close(),
    });
  }
  const lite = await PGlite.create({
    extensions: { vector },
    ...(options.directory === undefined ? {} : { dataDir: options.directory }),
    ...(options.template === undefined ? {} : { loadDataDir: options.template }),
  });
  // Never let go of the one connection: the adapter's object is shared, and the end of a client that was let go reaches
  // the next one as "Connection terminated unexpectedly".
  const pool = new Pool(
    Object.assign(createPgConfig(lite), { max: 1, idleTimeoutMillis: 0, types: createTypeParsers() }),
  );
  pool.on("error", () => undefined);
  const database = buildDatabase({
    kind: "embedded",
    schemaName: options.schemaName,
    pool,
    listen: async (channel, { onNotify, onListening }) => {
      const stop = await alone(pool, () => lite.listen(channel, onNotify));
      onListening();
      return () => alone(pool, () => stop());
    },
    close: async () => {
      await pool.end();
      await lite.close();
    },
  });
  return { ...database, dump: () => lite.dumpDataDir("none") };
}

/** Its own statements would come between the messages of one that the pool sends. */
async function alone<T>(pool: Pool, work: () => Promise<T>): Promise<T> {
  const client = await pool.connect();
  try {
    return await work();
  } finally {
    client.release();
  }
}

/** Loaded where it is asked for: services on a real server neither have it in their images nor pay for it in memory. */
async function loadPGlite() {
  const [{ PGlite }, { createPgConfig }, { vector }] = await Promise.all([
    import("@electric-sql/pglite"),
    import("@electric-sql/pglite/node-postgres"),
    import("@electric-sql/pglite-pgvector"),
  ]);
  return { PGlite, createPgConfig, vector };
}
