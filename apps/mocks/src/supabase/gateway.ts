import type { IncomingMessage } from "node:http";
import { type Answer, emptyAnswer } from "./answer.ts";

const METHODS = "GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS,TRACE,CONNECT";

/** What a browser may read of an answer to a resumable upload; the others expose nothing. */
const EXPOSED_TO_RESUMABLE =
  "Authorization, Content-Type, Location, Tus-Extension, Tus-Max-Size, Tus-Resumable, Tus-Version, Upload-Concat, " +
  "Upload-Defer-Length, Upload-Length, Upload-Metadata, Upload-Offset, X-HTTP-Method-Override, X-Requested-With";

/**
 * The service itself knows nothing of browsers: the gateway before it answers every preflight by itself, whatever the
 * path, and lets every origin read the answers. An OPTIONS that is no preflight goes through to the service.
 */
export function answerPreflight(request: IncomingMessage): Answer | undefined {
  const { origin, "access-control-request-method": method } = request.headers;
  if (request.method !== "OPTIONS" || origin === undefined || method === undefined) return undefined;
  return emptyAnswer(200, {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": METHODS,
    "access-control-allow-headers": request.headers["access-control-request-headers"] ?? "",
  });
}

export function withGatewayHeaders(answer: Answer, url: URL): Answer {
  const isResumable = url.pathname.startsWith("/storage/v1/upload/resumable");
  return {
    ...answer,
    headers: {
      ...answer.headers,
      "access-control-allow-origin": "*",
      ...(isResumable ? { "tus-resumable": "1.0.0", "access-control-expose-headers": EXPOSED_TO_RESUMABLE } : {}),
    },
  };
}
