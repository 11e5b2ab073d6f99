import type { FastifyReply } from "fastify";

/** An error as the service tells it. */
export interface OpenAiError {
  status: number;
  message: string;
  type: string;
  param?: string | null;
  errorCode?: string | null;
}

export function sendError(reply: FastifyReply, error: OpenAiError): FastifyReply {
  const { status, message, type, param = null, errorCode = null } = error;
  return reply.code(status).send({ error: { message, type, param, code: errorCode } });
}

/** A request that no retry mends. */
export function badRequest(message: string, more: Partial<OpenAiError> = {}): OpenAiError {
  return { status: 400, message, type: "invalid_request_error", ...more };
}

export const NO_KEY: OpenAiError = {
  status: 401,
  message: "You didn't provide an API key. Send it as a bearer token in the Authorization header.",
  type: "invalid_request_error",
};

/** The service repeats the key's ends. */
export function wrongKey(key: string): OpenAiError {
  return {
    status: 401,
    message: `Incorrect API key provided: ${key.slice(0, 3)}****${key.slice(-2)}.`,
    type: "invalid_request_error",
    errorCode: "invalid_api_key",
  };
}

export function unknownModel(model: string): OpenAiError {
  return {
    status: 404,
    message: `The model \`${model}\` does not exist or you do not have access to it.`,
    type: "invalid_request_error",
    errorCode: "model_not_found",
  };
}

/** The account is empty: waiting does not help, so there is no Retry-After. */
export const QUOTA_EXCEEDED: OpenAiError = {
  status: 429,
  message: "You exceeded your current quota, please check your plan and billing details.",
  type: "insufficient_quota",
  errorCode: "insufficient_quota",
};

export function rateLimited(kind: "requests" | "tokens", waitText: string): OpenAiError {
  return {
    status: 429,
    message: `Rate limit reached on ${kind} per min. Please try again in ${waitText}.`,
    type: kind,
    errorCode: "rate_limit_exceeded",
  };
}

export const SERVER_ERROR: OpenAiError = {
  status: 500,
  message: "The server had an error while processing your request.",
  type: "server_error",
};

export const OVERLOADED: OpenAiError = {
  status: 503,
  message: "The engine is currently overloaded, please try again later.",
  type: "server_error",
};
