import { hasMetricsToken, readRegistry, type Registry } from "@pipeline/metrics";
import { AppError } from "@pipeline/runtime";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { unauthorized } from "../auth/unauthorized.ts";
import { problem } from "../problems/problem.ts";
import type { MetricsAccess } from "../settings.ts";

const metrics = { description: "Prometheus' text format", content: { "text/plain": { schema: z.string() } } };

/** What this process counted, and what the database says of the queue, for Prometheus. */
export const getMetrics: FastifyPluginAsyncZod<{ registry: Registry; access: MetricsAccess }> = async (
  app,
  { registry, access },
) => {
  app.route({
    method: "GET",
    url: "/metrics",
    schema: { response: { 200: metrics, 401: problem, 404: problem } },
    handler: async (request, reply) => {
      if (access === "closed") throw closed();
      if (access !== "open" && !hasMetricsToken(request.headers.authorization, access.token)) throw unauthorized();
      const { contentType, text } = await readRegistry(registry);
      return reply.header("cache-control", "no-store").type(contentType).send(text);
    },
  });
};

/** To whoever may not see them there are none. */
function closed(): AppError {
  return new AppError({ kind: "not_found", code: "route_not_found", message: "There is no such route." });
}
