import type { DocumentCursor, JobCursor } from "@pipeline/db";
import { AppError, LIMITS } from "@pipeline/runtime";
import { z } from "zod";

/** A whole number in a query string. */
export const wholeNumber = z
  .string()
  .regex(/^\d{1,15}$/, { error: "must be a whole number" })
  .transform(Number);

/** How the contract describes a number in a query string: by what it means, not by the text that it comes as. */
const AS_INTEGER = { type: "integer", pattern: undefined } as const;

/** `?limit=`, 1 to LIMITS.maxPageSize. */
export function pageLimit(fallback: number) {
  const bounds = { minimum: 1, maximum: LIMITS.maxPageSize, default: fallback };
  return wholeNumber
    .pipe(z.int().min(1).max(LIMITS.maxPageSize))
    .default(fallback)
    .meta({ ...AS_INTEGER, ...bounds });
}

/** `?cursor=` of events: the id of the last one seen. */
export const eventCursor = wholeNumber.default(0).meta({ ...AS_INTEGER, minimum: 0, default: 0 });

/** The first `limit` of the rows found, of which one more was asked for; that one tells whether there is a next page. */
export function pageOf<T>(found: readonly T[], limit: number): { rows: T[]; last: T | undefined } {
  const rows = found.slice(0, limit);
  return { rows, last: found.length > limit ? rows.at(-1) : undefined };
}

/** Most rows that one page of a filtered list looks at: a page may be short, or empty, and have a next one all the same. */
export const MOST_LOOKED_AT = 2_000;

/** Opaque to clients: where a page of documents ended. */
export function encodeDocumentCursor(last: DocumentCursor): string {
  return encodeCursor([last.created_at.getTime(), last.document_id]);
}

/** Throws AppError invalid `invalid_cursor` for what `encodeDocumentCursor` did not make. */
export function decodeDocumentCursor(cursor: string): DocumentCursor {
  const { created_at, id } = decodeTimeAndId(cursor);
  return { created_at, document_id: id };
}

/** The same for jobs. */
export function encodeJobCursor(last: JobCursor): string {
  return encodeCursor([last.created_at.getTime(), last.job_id]);
}

export function decodeJobCursor(cursor: string): JobCursor {
  const { created_at, id } = decodeTimeAndId(cursor);
  return { created_at, job_id: id };
}

/** The same for whole numbers, each below 2^31. */
export function encodeNumbers(numbers: readonly number[]): string {
  return encodeCursor(numbers);
}

const SMALL_NUMBER = /^\d{1,9}$/;

export function decodeNumbers(cursor: string, count: number): number[] {
  const parts = decodeCursor(cursor).split(".");
  if (parts.length !== count || !parts.every((part) => SMALL_NUMBER.test(part))) throw invalidCursor();
  return parts.map(Number);
}

const TIME_AND_ID = /^(\d{1,14})\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;

function decodeTimeAndId(cursor: string): { created_at: Date; id: string } {
  const [, time, id] = TIME_AND_ID.exec(decodeCursor(cursor)) ?? [];
  if (time === undefined || id === undefined) throw invalidCursor();
  return { created_at: new Date(Number(time)), id };
}

function encodeCursor(parts: readonly (string | number)[]): string {
  return Buffer.from(parts.join(".")).toString("base64url");
}

function decodeCursor(cursor: string): string {
  return Buffer.from(cursor, "base64url").toString();
}

function invalidCursor(): AppError {
  return new AppError({ kind: "invalid", code: "invalid_cursor", message: "This cursor is not one of a list." });
}
