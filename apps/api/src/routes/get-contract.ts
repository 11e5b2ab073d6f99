import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";

/** The description of this API, as generators of clients take it. */
export const getContract: FastifyPluginAsyncZod = async (app) => {
  app.route({
    method: "GET",
    url: "/docs/openapi.json",
    schema: { response: { 200: z.record(z.string(), z.unknown()) } },
    handler: async () => app.describeContract(),
  });
};
