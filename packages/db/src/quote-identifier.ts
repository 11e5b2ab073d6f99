import { AppError } from "@pipeline/runtime";

/** The one place where an identifier meets SQL text. Refuses what Postgres would cut (63 bytes) or need quoting for. */
export function quoteIdentifier(name: string): string {
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(name)) {
    throw new AppError({ kind: "invalid", code: "invalid_schema_name", message: `"${name}" is not a schema name.` });
  }
  return `"${name}"`;
}
