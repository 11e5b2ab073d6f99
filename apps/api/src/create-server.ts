import { LIMITS } from "@pipeline/runtime";
import { fastify, type FastifyInstance } from "fastify";
import { serializerCompiler, validatorCompiler } from "fastify-type-provider-zod";
import { correlationIdOf, CORRELATION_HEADER } from "./plugins/correlation.ts";
import { answerWithProblem } from "./plugins/problems.ts";
import { answerClientError } from "./problems/answer-client-error.ts";
import type { ApiSettings } from "./settings.ts";

/** From the first byte of a request to its last: 25 MiB at 256 kbit/s take 14 minutes. */
const UPLOAD_TIMEOUT_MS = 900_000;
/** Without uploads a request has 384 KiB at most. */
const REQUEST_TIMEOUT_MS = 60_000;
/** A connection on which nothing moves for so long is dropped, an upload that stalls included. */
const IDLE_TIMEOUT_MS = 60_000;
/** Request line and headers together; a token alone may have 8 KiB. */
const MAX_HEADER_BYTES = 16_384;
/** Whoever sends headers byte by byte holds a connection no longer than this, and this much more. */
const HEADERS_CHECK_MS = 5_000;

/** An HTTP server with everything bounded that a client can prolong or enlarge. */
export function createServer(settings: ApiSettings, does: { receiveUploads: boolean }): FastifyInstance {
  const app = fastify({
    // Fastify's own lines hold URLs, and those hold upload tokens: the request log writes instead.
    logger: false,
    genReqId: correlationIdOf,
    bodyLimit: LIMITS.maxRequestBytes,
    requestTimeout: does.receiveUploads ? UPLOAD_TIMEOUT_MS : REQUEST_TIMEOUT_MS,
    connectionTimeout: IDLE_TIMEOUT_MS,
    http: {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: settings.headersTimeoutMs,
      connectionsCheckingInterval: Math.min(HEADERS_CHECK_MS, settings.headersTimeoutMs),
    },
    // Whoever reached us before the listener closed gets an answer, with `connection: close`.
    return503OnClosing: false,
    trustProxy: trusted(settings.trustProxy),
    // A path of the disk store has up to four UUIDs.
    routerOptions: { maxParamLength: 160 },
    frameworkErrors: (error, request, reply) => {
      reply.header(CORRELATION_HEADER, request.id);
      answerWithProblem(error, request, reply);
    },
    clientErrorHandler: answerClientError,
  });
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  return app;
}

/** The proxy next to us is hop 0. */
function trusted(trustProxy: ApiSettings["trustProxy"]) {
  return typeof trustProxy === "number" ? (_address: string, hop: number) => hop < trustProxy : trustProxy;
}
