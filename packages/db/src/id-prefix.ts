import { AppError } from "@pipeline/runtime";
import { z } from "zod";
import { jobNotFound } from "./cancel.ts";
import type { Queryable } from "./queryable.ts";

/**
 * The id of the one job whose id starts so, hyphens left out or not. Throws `job_not_found`, invalid `invalid_id` (fewer
 * than four hexadecimal digits, or something else) and conflict `ambiguous_id`.
 */
export async function resolveJobId(db: Queryable, prefix: string): Promise<string> {
  const id = await findUnique(db, { prefix, table: "upload_jobs", column: "job_id" });
  if (id === undefined) throw jobNotFound();
  return id;
}

/** The same for documents; throws `document_not_found`. */
export async function resolveDocumentId(db: Queryable, prefix: string): Promise<string> {
  const id = await findUnique(db, { prefix, table: "documents", column: "document_id" });
  if (id !== undefined) return id;
  throw new AppError({ kind: "not_found", code: "document_not_found", message: "There is no such document." });
}

interface Lookup {
  prefix: string;
  table: "upload_jobs" | "documents";
  column: "job_id" | "document_id";
}

/** A range, so that the primary key's index serves it. */
async function findUnique(db: Queryable, { prefix, table, column }: Lookup): Promise<string | undefined> {
  const digits = prefix.replaceAll("-", "");
  if (!/^[0-9a-f]{4,32}$/i.test(digits)) {
    const message = "An id, or its first four or more hexadecimal digits, is needed.";
    throw new AppError({ kind: "invalid", code: "invalid_id", message });
  }
  const found = await db.many(
    z.object({ id: z.string() }),
    `select ${column} as id from ${db.schema}.${table} where ${column} between $1 and $2 limit 2`,
    [digits.padEnd(32, "0"), digits.padEnd(32, "f")],
  );
  if (found.length > 1) {
    const message = `Several ids start with ${prefix}; give more of it.`;
    throw new AppError({ kind: "conflict", code: "ambiguous_id", message });
  }
  return found[0]?.id;
}
