import { retryJob } from "@pipeline/db";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { jobBody, jobParams, presentJob } from "../../contract/job-body.ts";
import { adminJobUrl } from "../../contract/urls.ts";
import type { ApiDependencies } from "../../dependencies.ts";
import { ADMIN_PROBLEMS, BODY_PROBLEMS, problem } from "../../problems/problem.ts";

/** Queues a failed, cancelled or backing-off job of any user again. */
export const retryAdminJob: FastifyPluginAsyncZod<ApiDependencies> = async (app, { database, notifier }) => {
  app.route({
    method: "POST",
    url: "/jobs/:job_id/retry",
    schema: {
      params: jobParams,
      response: { 202: jobBody, ...BODY_PROBLEMS, 404: problem, 409: problem, ...ADMIN_PROBLEMS },
    },
    handler: async (request, reply) => {
      const asked = { job_id: request.params.job_id, correlation_id: request.id };
      const job = await database.transaction((tx) => retryJob(tx, asked));
      notifier.wake();
      return reply.code(202).header("location", adminJobUrl(job.job_id)).send(presentJob(job));
    },
  });
};
