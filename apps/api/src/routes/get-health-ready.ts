import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { failingPart } from "../contract/failing-part.ts";
import type { HealthReport } from "../health/health-checks.ts";

const readyBody = z.object({ status: z.enum(["ready", "not_ready"]), failing: z.array(failingPart) });

/** As long as what the slowest look at storage has told is kept. */
const RETRY_AFTER_SECONDS = "5";

/** Whether an upload sent now would become searchable: 503, and which part is missing, when it would not. */
export const getHealthReady: FastifyPluginAsyncZod<{ checkHealth: () => Promise<HealthReport> }> = async (
  app,
  { checkHealth },
) => {
  app.route({
    method: "GET",
    url: "/health/ready",
    schema: { response: { 200: readyBody, 503: readyBody } },
    handler: async (_, reply) => {
      const { missing: failing } = await checkHealth();
      if (failing.length > 0) {
        return reply.code(503).header("retry-after", RETRY_AFTER_SECONDS).send({ status: "not_ready", failing });
      }
      return reply.code(200).send({ status: "ready", failing });
    },
  });
};
