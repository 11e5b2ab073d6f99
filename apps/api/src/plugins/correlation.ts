import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { correlated } from "@pipeline/runtime";
import { parseTraceparent } from "@pipeline/telemetry";
import { fastifyPlugin } from "fastify-plugin";

export const CORRELATION_HEADER = "x-correlation-id";

/** Gives every answer the correlation id, which is the request's id, on the job's row and in the log as well. */
export const correlation = fastifyPlugin(
  async (app) => {
    app.addHook("onRequest", (request, reply, done) => {
      reply.header(CORRELATION_HEADER, request.id);
      done();
    });
    // Behind the reading of the body, which would lose it.
    app.addHook("preHandler", (request, _reply, done) => correlated(request.id, done));
  },
  { name: "correlation" },
);

/** The caller's own id if it is harmless in headers, logs and rows, else the id of the caller's trace, else a new one. */
export function correlationIdOf(request: Pick<IncomingMessage, "headers">): string {
  const given = request.headers[CORRELATION_HEADER];
  if (typeof given === "string" && /^[A-Za-z0-9._-]{1,128}$/.test(given)) return given;
  return parseTraceparent(request.headers["traceparent"])?.traceId ?? randomUUID();
}
