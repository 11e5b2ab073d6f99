import { toAppError, type AppError, type ErrorKind } from "@pipeline/runtime";
import { hasZodFastifySchemaValidationErrors } from "fastify-type-provider-zod";
import type { Problem } from "./problem.ts";

/** Any thrown value as what the client is told. */
export interface Failure extends Pick<Problem, "status" | "code" | "detail" | "errors"> {
  retryAfterSeconds?: number;
}

export function describeFailure(thrown: unknown): Failure {
  return describeValidation(thrown) ?? describeFrameworkError(thrown) ?? describeAppError(toAppError(thrown));
}

/** A body of 64 KiB can hold thousands of faults; the first few are enough to mend it. */
const MAX_REPORTED_FAULTS = 20;

function describeValidation(thrown: unknown): Failure | undefined {
  if (!hasZodFastifySchemaValidationErrors(thrown)) return undefined;
  return {
    status: 422,
    code: "invalid_request",
    detail: "The request does not match what this call takes.",
    errors: thrown.validation.slice(0, MAX_REPORTED_FAULTS).map((fault) => ({
      path: fault.instancePath.slice(1),
      message: fault.message ?? "is not valid",
    })),
  };
}

/** Fastify's own refusals by their code. Its messages quote URLs and headers, so they are not passed on. */
const FRAMEWORK_FAILURES: ReadonlyMap<string, Failure> = new Map([
  ["FST_ERR_CTP_BODY_TOO_LARGE", { status: 413, code: "request_too_large", detail: "The request body is too large." }],
  [
    "FST_ERR_CTP_INVALID_MEDIA_TYPE",
    {
      status: 415,
      code: "unsupported_content_type",
      detail: "The request body has a content type that this call does not take.",
    },
  ],
  ["FST_ERR_CTP_INVALID_JSON_BODY", malformedJson()],
  ["FST_ERR_CTP_EMPTY_JSON_BODY", malformedJson()],
  ["FST_ERR_MAX_PARAM_LENGTH", { status: 404, code: "route_not_found", detail: "There is no such route." }],
]);

function malformedJson(): Failure {
  return { status: 400, code: "malformed_json", detail: "The request body is not valid JSON." };
}

function describeFrameworkError(thrown: unknown): Failure | undefined {
  if (!(thrown instanceof Error) || !("statusCode" in thrown)) return undefined;
  const code = "code" in thrown && typeof thrown.code === "string" ? thrown.code : "";
  const known = FRAMEWORK_FAILURES.get(code);
  if (known) return known;
  const status = Number(thrown.statusCode);
  if (!(status >= 400 && status < 500)) return undefined;
  return { status, code: "bad_request", detail: "The request could not be understood." };
}

const STATUS_BY_KIND: Readonly<Record<ErrorKind, number>> = {
  invalid: 422,
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  conflict: 409,
  too_large: 413,
  rate_limited: 429,
  permanent: 422,
  internal: 500,
  transient: 503,
};

/** Where HTTP has a status of its own for what our kinds do not tell apart. */
const STATUS_BY_CODE: ReadonlyMap<string, number> = new Map([
  ["unsupported_media_type", 415],
  ["unsupported_content_type", 415],
]);

function describeAppError(error: AppError): Failure {
  if (error.kind === "internal") {
    return { status: 500, code: "internal_error", detail: "An unexpected error occurred." };
  }
  return {
    status: STATUS_BY_CODE.get(error.code) ?? STATUS_BY_KIND[error.kind],
    code: error.code,
    detail: error.message,
    ...retryAfter(error),
  };
}

/** Asked for when nobody said how long: short enough for a person who waits. */
const DEFAULT_RETRY_AFTER_MS = 2_000;

function retryAfter(error: AppError): Pick<Failure, "retryAfterSeconds"> {
  const isPassing = error.kind === "transient" || error.kind === "rate_limited";
  if (!isPassing && error.retryAfterMs === undefined) return {};
  return { retryAfterSeconds: Math.max(1, Math.ceil((error.retryAfterMs ?? DEFAULT_RETRY_AFTER_MS) / 1_000)) };
}
