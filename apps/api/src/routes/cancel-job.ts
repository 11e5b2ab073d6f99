import { cancelJob } from "@pipeline/db";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { jobBody, jobParams, presentJob } from "../contract/job-body.ts";
import { jobUrl } from "../contract/urls.ts";
import type { ApiDependencies } from "../dependencies.ts";
import { onceForKey } from "../plugins/once-for-key.ts";
import { BODY_PROBLEMS, COMMON_PROBLEMS, problem } from "../problems/problem.ts";

/** Ends a job that is not at its end. A worker that has it in hand writes nothing of it any more. */
export const cancelJobRoute: FastifyPluginAsyncZod<ApiDependencies> = async (app, { database }) => {
  app.route({
    method: "POST",
    url: "/jobs/:job_id/cancel",
    schema: {
      params: jobParams,
      response: { 202: jobBody, ...BODY_PROBLEMS, 404: problem, 409: problem, 422: problem, ...COMMON_PROBLEMS },
    },
    handler: async (request, reply) => {
      const asked = { job_id: request.params.job_id, user_id: request.userId, correlation_id: request.id };
      const job = await onceForKey(database, request).transaction((tx) => cancelJob(tx, asked));
      return reply.code(202).header("location", jobUrl(job.job_id)).send(presentJob(job));
    },
  });
};
