import type { ApiMetrics } from "@pipeline/metrics";
import type { LatencyWindow } from "@pipeline/watch";
import type { FastifyReply, FastifyRequest } from "fastify";
import { fastifyPlugin } from "fastify-plugin";
import { methodName } from "./method-name.ts";

interface Options {
  metrics: ApiMetrics;
  /** What alerts on latency and errors are decided by. */
  traffic?: LatencyWindow | undefined;
}

/** Counts and times every request, by its route's template. */
export const requestMetrics = fastifyPlugin<Options>(
  async (app, { metrics, traffic }) => {
    app.addHook("onRequest", (request, reply, done) => {
      const startedAt = performance.now();
      metrics.inFlight.inc();
      // Of all events only "close" comes exactly once, whether the answer was sent or its reader went away.
      reply.raw.once("close", () => {
        metrics.inFlight.dec();
        const isAborted = !reply.raw.writableEnded;
        // How long a stream is open says nothing about us.
        if (!isStream(reply))
          note({ metrics, traffic }, { request, reply, isAborted, ms: performance.now() - startedAt });
      });
      done();
    });
    app.addHook("onSend", (_request, reply, _payload, done) => {
      // Its reader may be gone before there is anything to send, and "close" with it.
      if (isStream(reply) && !reply.raw.destroyed) {
        metrics.openStreams.inc();
        reply.raw.once("close", () => metrics.openStreams.dec());
      }
      done();
    });
  },
  { name: "request-metrics" },
);

interface Measured {
  request: FastifyRequest;
  reply: FastifyReply;
  isAborted: boolean;
  ms: number;
}

function note({ metrics, traffic }: Options, { request, reply, isAborted, ms }: Measured): void {
  const route = request.routeOptions.url ?? "unmatched";
  metrics.requests.observe(
    {
      route,
      method: methodName(request.method),
      status_class: isAborted ? "aborted" : `${Math.floor(reply.statusCode / 100)}xx`,
    },
    ms / 1_000,
  );
  // Nobody got an answer that could be at fault; but how long was waited for it is ours, and in a stall all that there is.
  if (isOurs(route)) traffic?.record({ ms, isError: !isAborted && reply.statusCode >= 500 });
}

/** How long a file takes is its client's doing, and health and metrics are asked by machines that wait. */
function isOurs(route: string): boolean {
  return !/^\/(health|metrics|docs|storage\/)/.test(route);
}

function isStream(reply: FastifyReply): boolean {
  return String(reply.getHeader("content-type")).startsWith("text/event-stream");
}
