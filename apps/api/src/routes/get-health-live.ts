import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";

const liveBody = z.object({ status: z.literal("live") });

/** The process answers. Nothing else is asked, so that a database that is down restarts nobody. */
export const getHealthLive: FastifyPluginAsyncZod = async (app) => {
  app.route({
    method: "GET",
    url: "/health/live",
    schema: { response: { 200: liveBody } },
    handler: async () => ({ status: "live" as const }),
  });
};
