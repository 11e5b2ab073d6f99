import type { Queryable } from "@pipeline/db";
import { z } from "zod";

const tableRow = z.object({
  relname: z.string(),
  updates: z.number(),
  hot_updates: z.number(),
  dead_tuples: z.number(),
});

/** What the server counted in one database. */
export interface DatabaseCounters {
  /** Transactions that committed, those that only read included. */
  commits: number;
  tables: z.infer<typeof tableRow>[];
}

/** Bytes of write-ahead log that the server has written since it was made. */
export async function readWalPosition(db: Queryable): Promise<number> {
  const [row] = await db.many(
    z.object({ position: z.number() }),
    "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8 as position",
  );
  return row?.position ?? 0;
}

/** Exact only after the connections of interest are closed: sessions report their counts now and then, and at their end. */
export async function readCounters(db: Queryable): Promise<DatabaseCounters> {
  const [database] = await db.many(
    z.object({ commits: z.number() }),
    "select xact_commit as commits from pg_stat_database where datname = current_database()",
  );
  const tables = await db.many(
    tableRow,
    `select relname, n_tup_upd as updates, n_tup_hot_upd as hot_updates, n_dead_tup as dead_tuples
     from pg_stat_user_tables`,
  );
  return { commits: database?.commits ?? 0, tables };
}

/** Share of updates that touched no index, in percent; undefined where nothing was updated. */
export function hotPercent(tables: readonly { updates: number; hot_updates: number }[]): number | undefined {
  const updates = tables.reduce((sum, table) => sum + table.updates, 0);
  const hot = tables.reduce((sum, table) => sum + table.hot_updates, 0);
  return updates > 0 ? (100 * hot) / updates : undefined;
}
