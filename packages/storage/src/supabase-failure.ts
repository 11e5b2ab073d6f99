import { AppError } from "@pipeline/runtime";
import { StorageApiError } from "@supabase/supabase-js";
import { z } from "zod";

/**
 * Whatever a call of the storage client ended with, as an error that later attempts may outlive. `doing` completes
 * "Object storage could not …". Of the answer only its status and code are kept: messages repeat URLs, and with them
 * tokens, so there is no `cause` either.
 *
 * Refused credentials and a missing bucket are transient too. They say nothing about the document, and are mended by
 * an operator, after which the same attempt succeeds; a permanent error would be taken for a verdict on the file.
 */
export function supabaseFault(doing: string, error: unknown): AppError {
  if (error instanceof AppError) return error;
  if (!(error instanceof StorageApiError)) return unavailable(doing, connectionFault(error));
  const { status, reason } = describeAnswer(error);
  return new AppError({
    kind: "transient",
    code: codeOf(error),
    message: `Object storage could not ${doing} (${reason}).`,
    details: { status, reason },
  });
}

/** A fault that no answer of the server describes; `reason` must be safe to show. */
export function unavailable(doing: string, reason: string): AppError {
  return new AppError({
    kind: "transient",
    code: "storage_unavailable",
    message: `Object storage could not ${doing} (${reason}).`,
  });
}

export function objectNotFound(): AppError {
  return new AppError({ kind: "permanent", code: "object_not_found", message: "The file is not in object storage." });
}

/**
 * True where the server says that there is no such object. It says the same to those who may not see it, so this is to
 * be believed only while the bucket can be seen.
 */
export function saysNoSuchKey(error: unknown): boolean {
  if (!(error instanceof StorageApiError)) return false;
  return error.code === "NoSuchKey" || (error.code === undefined && error.statusCode === "404");
}

export function saysNoSuchBucket(error: unknown): boolean {
  if (!(error instanceof StorageApiError)) return false;
  return error.code === "NoSuchBucket" || (error.code === undefined && error.statusCode === "404");
}

/** Of objects and buckets. */
export function saysAlreadyExists(error: unknown): boolean {
  return error instanceof StorageApiError && error.statusCode === "409";
}

function codeOf(error: StorageApiError): string {
  if (error.code === "NoSuchBucket") return "storage_bucket_missing";
  const isRefused = ["AccessDenied", "InvalidJWT"].includes(error.code ?? "");
  return isRefused || ["401", "403"].includes(error.statusCode) ? "storage_unauthorized" : "storage_unavailable";
}

/** The body's own status wins: over HTTP nearly every refusal is a 400. */
function describeAnswer(error: StorageApiError): { status: string; reason: string } {
  const status = keepIdentifier(error.statusCode) ?? String(error.status);
  return { status, reason: keepIdentifier(error.code) ?? status };
}

/** Free text in a field meant for an identifier would be the one way for a URL to slip through. */
function keepIdentifier(value: string | undefined): string | undefined {
  return value !== undefined && /^\w{1,64}$/u.test(value) ? value : undefined;
}

const coded = z.object({ code: z.string() });

/** The errno or the kind of abort that is furthest down; the client and `fetch` both wrap what happened. */
function connectionFault(error: unknown): string {
  let reason = "no usable answer";
  let current = error;
  for (let depth = 0; depth < 5 && current instanceof Error; depth += 1) {
    if (current.name === "TimeoutError") return "no answer in time";
    const { data } = coded.safeParse(current);
    reason = keepIdentifier(data?.code) ?? reason;
    current = "originalError" in current ? current.originalError : current.cause;
  }
  return reason;
}
