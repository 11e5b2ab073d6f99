import { AppError } from "@pipeline/runtime/errors";

/**
 * The errors a document's own content leads to. Only those another try can cure are `transient`.
 * `password_protected`, `damaged_file`, `empty_file`, `no_text`, `xfa_form_unsupported`,
 * `parse_memory_limit`: permanent.
 * `too_many_pages`, `text_too_large`, `inflation_limit`: too_large.
 * `parse_timeout` (the machine may have been busy), `parser_crashed` (no known cause), `aborted`: transient.
 */
export function passwordProtected(cause?: unknown): AppError {
  return new AppError({
    kind: "permanent",
    code: "password_protected",
    message: "The document is protected by a password. Remove the password and upload it again.",
    cause,
  });
}

export function damagedFile(message: string, cause?: unknown): AppError {
  return new AppError({ kind: "permanent", code: "damaged_file", message, cause });
}

export function emptyFile(): AppError {
  return new AppError({ kind: "permanent", code: "empty_file", message: "The file is empty." });
}

export function tooManyPages(pages: number, limit: number): AppError {
  return new AppError({
    kind: "too_large",
    code: "too_many_pages",
    message: `The document has ${pages} pages; the limit is ${limit}.`,
    details: { pages, limit },
  });
}

export function textTooLarge(limit: number): AppError {
  return new AppError({
    kind: "too_large",
    code: "text_too_large",
    message: `The document holds more than ${limit} characters of text.`,
    details: { limit },
  });
}

export function inflationLimit(message: string): AppError {
  return new AppError({ kind: "too_large", code: "inflation_limit", message });
}

export function noText(message: string): AppError {
  return new AppError({ kind: "permanent", code: "no_text", message });
}

export function parseTimeout(timeoutMs: number): AppError {
  return new AppError({
    kind: "transient",
    code: "parse_timeout",
    message: `Reading the document took longer than ${timeoutMs / 1000} s.`,
    details: { timeout_ms: timeoutMs },
  });
}

export function parseMemoryLimit(): AppError {
  return new AppError({
    kind: "permanent",
    code: "parse_memory_limit",
    message: "Reading the document takes more memory than a document may use.",
  });
}

export function parserCrashed(cause?: unknown): AppError {
  return new AppError({
    kind: "transient",
    code: "parser_crashed",
    message: "The parser stopped unexpectedly while it read the document.",
    cause,
  });
}

export function parseAborted(cause: unknown): AppError {
  return new AppError({ kind: "transient", code: "aborted", message: "Reading the document was stopped.", cause });
}
