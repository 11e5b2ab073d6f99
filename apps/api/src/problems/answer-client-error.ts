import { randomUUID } from "node:crypto";
import { ServerResponse, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { ProblemCode } from "./codes.ts";
import { PROBLEM_TYPE, type Problem } from "./problem.ts";

interface Refusal {
  status: number;
  code: ProblemCode;
  detail: string;
}

const BROKEN: Refusal = { status: 400, code: "bad_request", detail: "The request could not be understood." };

/** Node's codes for what ended before there was a request. */
const REFUSALS: ReadonlyMap<string, Refusal> = new Map([
  [
    "ERR_HTTP_REQUEST_TIMEOUT",
    { status: 408, code: "request_timeout", detail: "The request did not arrive whole in time." },
  ],
  ["HPE_HEADER_OVERFLOW", { status: 431, code: "headers_too_large", detail: "The request's headers are too large." }],
]);

/**
 * Answers what is no whole request, on the connection itself: neither routes nor plugins know of it. The connection is
 * closed, because nobody can tell where the next request on it would begin.
 */
export function answerClientError({ code }: { code?: string }, socket: Socket): void {
  if (code === "ECONNRESET" || !socket.writable) return;
  if (!hasBegunToAnswer(socket)) socket.write(formatAnswer(REFUSALS.get(code ?? "") ?? BROKEN));
  socket.destroySoon();
}

/** The answer to a request that came before on the same connection; a second one in its midst would be part of it. */
function hasBegunToAnswer(socket: Socket): boolean {
  // Node's own handler looks at the same field, which has no name that is public.
  const response: unknown = Reflect.get(socket, "_httpMessage");
  return response instanceof ServerResponse && response.headersSent;
}

function formatAnswer({ status, code, detail }: Refusal): string {
  const title = STATUS_CODES[status] ?? "Error";
  const correlation_id = randomUUID();
  const problem: Problem = { type: "about:blank", title, status, code, detail, correlation_id };
  const body = JSON.stringify(problem);
  return [
    `HTTP/1.1 ${status} ${title}`,
    `content-type: ${PROBLEM_TYPE}; charset=utf-8`,
    `content-length: ${Buffer.byteLength(body)}`,
    `x-correlation-id: ${correlation_id}`,
    "connection: close",
    "",
    body,
  ].join("\r\n");
}
