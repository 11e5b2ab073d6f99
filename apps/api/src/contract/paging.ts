import type { DocumentCursor } from "@pipeline/db";
import { AppError, LIMITS } from "@pipeline/runtime";
import { z } from "zod";

const wholeNumber = z
  .string()
  .regex(/^\d{1,15}$/, { error: "must be a whole number" })
  .transform(Number);

/** `?limit=`, 1 to LIMITS.maxPageSize. */
export function pageLimit(fallback: number) {
  return wholeNumber.pipe(z.int().min(1).max(LIMITS.maxPageSize)).default(fallback);
}

/** `?cursor=` of events: the id of the last one seen. */
export const eventCursor = wholeNumber.default(0);

/** Opaque to clients: where a page of documents ended. */
export function encodeDocumentCursor(last: DocumentCursor): string {
  return Buffer.from(`${last.created_at.getTime()}.${last.document_id}`).toString("base64url");
}

const DOCUMENT_CURSOR = /^(\d{1,14})\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/;

/** Throws AppError invalid `invalid_cursor` for what `encodeDocumentCursor` did not make. */
export function decodeDocumentCursor(cursor: string): DocumentCursor {
  const [, time, document_id] = DOCUMENT_CURSOR.exec(Buffer.from(cursor, "base64url").toString()) ?? [];
  if (time === undefined || document_id === undefined) {
    throw new AppError({ kind: "invalid", code: "invalid_cursor", message: "This cursor is not one of a list." });
  }
  return { created_at: new Date(Number(time)), document_id };
}
