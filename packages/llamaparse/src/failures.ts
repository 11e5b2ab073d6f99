import { AppError } from "@pipeline/runtime";

/**
 * The errors a call leads to. None quotes what the provider said: its messages repeat file names and text, and HTTP
 * clients' messages repeat addresses.
 */
export function unavailable(
  message = "The parsing service is not available.",
  details?: Record<string, unknown>,
  wait: { retryAfterMs?: number } = {},
): AppError {
  return new AppError({
    kind: "transient",
    code: "llamaparse_unavailable",
    message,
    ...wait,
    ...(details === undefined ? {} : { details }),
  });
}

export function timedOut(): AppError {
  return unavailable("The parsing service did not answer in time.");
}

/** Transient: a service that answers wrongly once is worth another try. `fault` must not quote the answer. */
export function invalidAnswer(fault: string): AppError {
  return new AppError({
    kind: "transient",
    code: "llamaparse_invalid_answer",
    message: `The parsing service gave an unusable answer: ${fault}.`,
  });
}

export function configurationInvalid(message: string): AppError {
  return new AppError({ kind: "invalid", code: "llamaparse_configuration_invalid", message });
}

export function jobNotFound(): AppError {
  return new AppError({
    kind: "not_found",
    code: "llamaparse_job_not_found",
    message: "The parsing service does not know the job, or no longer.",
  });
}

export function jobUnfinished(): AppError {
  return new AppError({
    kind: "transient",
    code: "llamaparse_job_unfinished",
    message: "The parsing service has not finished the document yet.",
  });
}

export function textTooLarge(details: Record<string, unknown>): AppError {
  return new AppError({
    kind: "too_large",
    code: "text_too_large",
    message: "The document holds more text than is allowed.",
    details,
  });
}

/** An answer other than success. */
export function httpFailure(status: number, retryAfter: string | undefined): AppError {
  const details = { status };
  if (status === 429) {
    return new AppError({
      kind: "rate_limited",
      code: "llamaparse_rate_limited",
      message: "The parsing service asks us to slow down.",
      details,
      ...readRetryAfter(retryAfter),
    });
  }
  if (status >= 500 || status === 408 || status === 409)
    return unavailable(undefined, details, readRetryAfter(retryAfter));
  switch (status) {
    case 401:
    case 403:
      return new AppError({
        kind: "permanent",
        code: "llamaparse_unauthorized",
        message: "The parsing service refused our credentials.",
        details,
      });
    case 402:
      return new AppError({
        kind: "permanent",
        code: "llamaparse_quota_exhausted",
        message: "The parsing service's credits are used up.",
        details,
      });
    case 413:
      return new AppError({
        kind: "too_large",
        code: "llamaparse_too_large",
        message: "The parsing service refused the document as too large.",
        details,
      });
    default:
      return new AppError({
        kind: "permanent",
        code: "llamaparse_rejected",
        message: "The parsing service rejected the request.",
        details,
      });
  }
}

/** The service documents none; a proxy before it may still say one. The rest of longer waits is left to our own back-off. */
const LONGEST_WAIT_MS = 60_000;

/** Seconds, or a date (RFC 9110 section 10.2.3). */
function readRetryAfter(header: string | undefined): { retryAfterMs?: number } {
  if (header === undefined) return {};
  const ms = /^\d+$/.test(header) ? Number(header) * 1_000 : Date.parse(header) - Date.now();
  return ms > 0 ? { retryAfterMs: Math.min(LONGEST_WAIT_MS, ms) } : {};
}
