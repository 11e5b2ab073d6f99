import { getJob } from "@pipeline/db";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { jobBody, jobParams, presentJob } from "../contract/job-body.ts";
import type { ApiDependencies } from "../dependencies.ts";
import { COMMON_PROBLEMS, problem } from "../problems/problem.ts";

export const getJobRoute: FastifyPluginAsyncZod<ApiDependencies> = async (app, { database }) => {
  app.route({
    method: "GET",
    url: "/jobs/:job_id",
    schema: { params: jobParams, response: { 200: jobBody, 404: problem, ...COMMON_PROBLEMS } },
    handler: async (request) =>
      presentJob(await getJob(database, { user_id: request.userId, job_id: request.params.job_id })),
  });
};
