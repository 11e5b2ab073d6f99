import { NO_SPAN, NO_TRACING, type Span, type Tracing } from "@pipeline/telemetry";
import type { FastifyReply, FastifyRequest } from "fastify";
import { fastifyPlugin } from "fastify-plugin";
import { methodName } from "./method-name.ts";

declare module "fastify" {
  export interface FastifyRequest {
    /** What the calls that the handler makes are parts of. */
    span: Span | null;
  }
}

/** A span per request, of method, route's template, answer and correlation id alone; its caller's trace goes on in it. */
export const requestTrace = fastifyPlugin<{ tracing: Tracing }>(
  async (app, { tracing }) => {
    if (tracing === NO_TRACING) return;
    app.decorateRequest("span", null);
    app.addHook("onRequest", (request, reply, done) => {
      if (isProbe(request)) return done();
      const span = beginSpan(tracing, request);
      request.span = span;
      // Of all events only "close" comes exactly once, whether the answer was sent or its reader went away.
      reply.raw.once("close", () => endSpan(span, { request, reply }));
      done();
    });
    // Behind the reading of the body, which would lose it.
    app.addHook("preHandler", (request, _reply, done) => (request.span ?? NO_SPAN).run(done));
  },
  { name: "request-trace" },
);

/** Machines ask for these all the time. */
function isProbe(request: FastifyRequest): boolean {
  return /^\/(health|metrics)/.test(request.routeOptions.url ?? "");
}

function beginSpan(tracing: Tracing, request: FastifyRequest): Span {
  const method = methodName(request.method);
  const route = request.routeOptions.url;
  const { traceparent } = request.headers;
  return tracing.begin(route === undefined ? method : `${method} ${route}`, {
    kind: "server",
    attributes: {
      "http.request.method": method,
      ...(route === undefined ? {} : { "http.route": route }),
      correlation_id: request.id,
    },
    traceparent: typeof traceparent === "string" ? traceparent : undefined,
  });
}

function endSpan(span: Span, { request, reply }: { request: FastifyRequest; reply: FastifyReply }): void {
  if (!reply.raw.writableEnded) return span.end({ outcome: "aborted" });
  const { statusCode } = reply;
  const code = request.failure?.code;
  span.end({
    "http.response.status_code": statusCode,
    ...(code === undefined ? {} : { code }),
    ...(statusCode >= 500 ? { "error.type": code ?? String(statusCode) } : {}),
  });
}
