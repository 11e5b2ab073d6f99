import { pauseClaims } from "@pipeline/db";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { controlBody } from "../../contract/admin-bodies.ts";
import { isStorable } from "../../contract/text.ts";
import type { ApiDependencies } from "../../dependencies.ts";
import { ADMIN_PROBLEMS, BODY_PROBLEMS, problem } from "../../problems/problem.ts";

const words = z.string().min(1).max(500).refine(isStorable, { error: "must be well-formed Unicode without NUL" });

const pauseRequest = z.strictObject({
  /** Who asks, and why: for whoever looks at the queue. */
  by: words.default("the service role"),
  reason: words.nullable().default(null),
});

/** No worker claims any more; jobs in hand go on. */
export const pauseAdminClaims: FastifyPluginAsyncZod<ApiDependencies> = async (app, { database }) => {
  app.route({
    method: "POST",
    url: "/pause",
    schema: { body: pauseRequest, response: { 200: controlBody, ...BODY_PROBLEMS, 422: problem, ...ADMIN_PROBLEMS } },
    handler: (request) => pauseClaims(database, { paused_by: request.body.by, reason: request.body.reason }),
  });
};
