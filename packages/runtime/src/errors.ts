/**
 * What went wrong, as far as anybody has to act on it. The kind alone decides the API's HTTP status
 * and whether the worker tries again (only `transient` and `rate_limited` do).
 */
export type ErrorKind =
  | "invalid"
  | "unauthorized"
  | "forbidden"
  | "not_found"
  | "conflict"
  | "too_large"
  | "rate_limited"
  | "transient"
  | "permanent"
  | "internal";

export interface AppErrorOptions {
  kind: ErrorKind;
  /** Stable, documented, snake_case: what programs branch on. */
  code: string;
  /** For people; never holds document text, keys, tokens or signed URLs. */
  message: string;
  cause?: unknown;
  /** How long the other side asked us to wait. */
  retryAfterMs?: number;
  /** Machine-readable facts that are safe to show to the document's owner. */
  details?: Record<string, unknown>;
}

/** The one error that crosses a border between our modules. */
export class AppError extends Error {
  readonly kind: ErrorKind;
  readonly code: string;
  readonly retryAfterMs: number | undefined;
  readonly details: Record<string, unknown> | undefined;

  constructor(options: AppErrorOptions) {
    super(options.message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "AppError";
    this.kind = options.kind;
    this.code = options.code;
    this.retryAfterMs = options.retryAfterMs;
    this.details = options.details;
  }
}

/** True where trying the same thing later can succeed. */
export function isRetryable(error: AppError): boolean {
  return error.kind === "transient" || error.kind === "rate_limited";
}

/** Any thrown value as an AppError; what nobody translated is an `internal` error that keeps its cause. */
export function toAppError(thrown: unknown): AppError {
  if (thrown instanceof AppError) return thrown;
  return new AppError({
    kind: "internal",
    code: "internal_error",
    message: "An unexpected error occurred.",
    cause: thrown,
  });
}
