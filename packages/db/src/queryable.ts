import { AppError } from "@pipeline/runtime";
import type { z } from "zod";

/** Values that a statement takes; arrays and plain objects go as Postgres arrays and jsonb text by the caller. */
export type Parameter = string | number | boolean | Date | null | readonly (string | number | boolean | Date | null)[];

export interface StatementOptions {
  /**
   * Keeps it parsed and planned on each connection to the server, not through a pooler. Only for what has one good plan,
   * whatever its parameters: after five times it is planned without looking at them.
   */
  prepare?: boolean;
}

/**
 * Where SQL runs: a pool, a transaction or the embedded database. Rows are parsed, never cast.
 * Every method throws AppError (see errors.ts for the codes).
 */
export interface Queryable {
  /** The quoted schema name, the only identifier that statements interpolate. */
  readonly schema: string;
  /** Every row. */
  many<T>(row: z.ZodType<T>, sql: string, parameters?: readonly Parameter[], options?: StatementOptions): Promise<T[]>;
  /** Runs a statement for its effect; answers how many rows it touched. */
  run(sql: string, parameters?: readonly Parameter[], options?: StatementOptions): Promise<number>;
}

export async function maybeOne<T>(
  db: Queryable,
  row: z.ZodType<T>,
  sql: string,
  parameters?: readonly Parameter[],
  options?: StatementOptions,
): Promise<T | undefined> {
  const rows = await db.many(row, sql, parameters, options);
  if (rows.length > 1) {
    throw new AppError({ kind: "internal", code: "too_many_rows", message: "A statement answered more than one row." });
  }
  return rows[0];
}

export async function one<T>(
  db: Queryable,
  row: z.ZodType<T>,
  sql: string,
  parameters?: readonly Parameter[],
  options?: StatementOptions,
): Promise<T> {
  const found = await maybeOne(db, row, sql, parameters, options);
  if (found === undefined) {
    throw new AppError({ kind: "internal", code: "row_missing", message: "A statement answered no row." });
  }
  return found;
}
