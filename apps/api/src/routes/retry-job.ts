import { retryJobWithin } from "@pipeline/db";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { jobBody, jobParams, presentJob } from "../contract/job-body.ts";
import { jobUrl } from "../contract/urls.ts";
import type { ApiDependencies } from "../dependencies.ts";
import { onceForKey } from "../plugins/once-for-key.ts";
import { BODY_PROBLEMS, COMMON_PROBLEMS, problem } from "../problems/problem.ts";

/** Queues a failed, cancelled or backing-off job again, at the status that it has reached. */
export const retryJobRoute: FastifyPluginAsyncZod<ApiDependencies> = async (app, dependencies) => {
  const { database, notifier, settings } = dependencies;
  app.route({
    method: "POST",
    url: "/jobs/:job_id/retry",
    schema: {
      params: jobParams,
      response: { 202: jobBody, ...BODY_PROBLEMS, 404: problem, 409: problem, 422: problem, ...COMMON_PROBLEMS },
    },
    handler: async (request, reply) => {
      const asked = { job_id: request.params.job_id, user_id: request.userId, correlation_id: request.id };
      const job = await retryJobWithin(onceForKey(database, request), asked, settings.uploadAllowance);
      notifier.wake();
      return reply.code(202).header("location", jobUrl(job.job_id)).send(presentJob(job));
    },
  });
};
