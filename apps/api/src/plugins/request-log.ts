import type { Logger } from "@pipeline/runtime";
import type { FastifyReply, FastifyRequest } from "fastify";
import { fastifyPlugin } from "fastify-plugin";

declare module "fastify" {
  export interface FastifyRequest {
    /** What the error handler answered with, for the request's log line. */
    failure: { code: string; cause: unknown } | null;
  }
}

/** One line per request, of these fields alone: URLs carry upload tokens, headers bearer tokens, bodies documents. */
export const requestLog = fastifyPlugin<{ log: Logger }>(
  async (app, { log }) => {
    app.decorateRequest("failure", null);
    app.addHook("onRequest", (request, reply, done) => {
      const startedAt = performance.now();
      // Of all events only "close" comes exactly once, whether the answer was sent or its reader went away.
      reply.raw.once("close", () => logRequest(log, { request, reply, ms: performance.now() - startedAt }));
      done();
    });
  },
  { name: "request-log" },
);

function logRequest(log: Logger, done: { request: FastifyRequest; reply: FastifyReply; ms: number }): void {
  const { request, reply } = done;
  const isAnswered = reply.raw.writableEnded;
  const isFault = reply.statusCode >= 500;
  log[isFault ? "error" : "info"](
    {
      method: request.method,
      route: request.routeOptions.url ?? null,
      status: isAnswered ? reply.statusCode : null,
      ms: Math.round(done.ms),
      correlation_id: request.id,
      ...(isAnswered ? {} : { aborted: true }),
      ...(request.failure ? { code: request.failure.code } : {}),
      ...(isFault && request.failure ? { err: request.failure.cause } : {}),
    },
    "request",
  );
}
