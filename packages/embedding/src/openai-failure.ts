import { AppError, type ErrorKind, wasNeverSent } from "@pipeline/runtime";
import { APIConnectionTimeoutError, APIError } from "openai";
import { invalidEmbedding } from "./assert-vectors.ts";
import { readRetryAfterMs } from "./retry-after.ts";

interface Failure {
  kind: ErrorKind;
  code: string;
  message: string;
}

const UNAUTHORIZED: Failure = {
  kind: "permanent",
  code: "embedding_unauthorized",
  message: "The embedding service refused our credentials.",
};
const MODEL_NOT_FOUND: Failure = {
  kind: "permanent",
  code: "embedding_model_not_found",
  message: "The embedding service does not know the model or the address.",
};
const TOO_LARGE: Failure = {
  kind: "permanent",
  code: "embedding_too_large",
  message: "The embedding service refused the request as too large.",
};
const REJECTED: Failure = {
  kind: "permanent",
  code: "embedding_rejected",
  message: "The embedding service rejected the request.",
};
const QUOTA_EXHAUSTED: Failure = {
  kind: "permanent",
  code: "embedding_quota_exhausted",
  message: "The embedding service's quota is used up.",
};
const RATE_LIMITED: Failure = {
  kind: "rate_limited",
  code: "embedding_rate_limited",
  message: "The embedding service asks us to slow down.",
};
const UNAVAILABLE: Failure = {
  kind: "transient",
  code: "embedding_unavailable",
  message: "The embedding service is not available.",
};
const TIMED_OUT: Failure = { ...UNAVAILABLE, message: "The embedding service did not answer in time." };

/**
 * Whatever the SDK threw as an AppError. Of the provider's answer only status, type, code and request id are kept:
 * its messages quote the input texts and parts of the key, as do the SDK's, so there is no `cause` either.
 */
export function translateOpenAiFailure(thrown: unknown): AppError {
  if (thrown instanceof AppError) return thrown;
  if (thrown instanceof SyntaxError) return invalidEmbedding("it is not JSON");
  if (thrown instanceof APIConnectionTimeoutError) return embeddingTimedOut();
  if (!(thrown instanceof APIError) || thrown.status === undefined) return connectionLost(thrown);
  const headers: Headers = thrown.headers ?? new Headers();
  const failure = obeyRetryHeader(classifyAnswer(thrown.status, thrown), headers.get("x-should-retry"));
  const retryAfterMs = failure.kind === "permanent" ? undefined : readRetryAfterMs(headers, new Date());
  return new AppError({
    ...failure,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    details: {
      status: thrown.status,
      type: keepIdentifier(thrown.type),
      code: keepIdentifier(thrown.code),
      request_id: keepIdentifier(thrown.requestID),
    },
  });
}

export function embeddingTimedOut(): AppError {
  return new AppError(TIMED_OUT);
}

function connectionLost(thrown: unknown): AppError {
  return new AppError({ ...UNAVAILABLE, ...(wasNeverSent(thrown) ? { details: { never_sent: true } } : {}) });
}

function classifyAnswer(status: number, answer: { code?: unknown; type?: unknown }): Failure {
  if (status >= 500) return UNAVAILABLE;
  switch (status) {
    case 401:
    case 403:
      return UNAUTHORIZED;
    case 404:
      return MODEL_NOT_FOUND;
    case 408:
    case 409:
      return UNAVAILABLE;
    case 413:
      return TOO_LARGE;
    case 429:
      return [answer.code, answer.type].includes("insufficient_quota") ? QUOTA_EXHAUSTED : RATE_LIMITED;
    default:
      return REJECTED;
  }
}

/** The provider's word on retrying wins, except for an empty account, which no retry fills. */
function obeyRetryHeader(failure: Failure, header: string | null): Failure {
  if (failure === QUOTA_EXHAUSTED) return failure;
  if (header === "false") return { ...failure, kind: "permanent" };
  if (header === "true" && failure.kind === "permanent") return { ...failure, kind: "transient" };
  return failure;
}

/** Free text in a field meant for an identifier would be the one way for echoed input to slip through. */
function keepIdentifier(value: unknown): string | undefined {
  return typeof value === "string" && /^[\w.:-]{1,64}$/.test(value) ? value : undefined;
}
