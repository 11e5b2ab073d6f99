import { redriveJobs } from "@pipeline/db";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { chosen, deadLetterFilter } from "../../contract/admin-bodies.ts";
import type { ApiDependencies } from "../../dependencies.ts";
import { ADMIN_PROBLEMS, BODY_PROBLEMS, problem } from "../../problems/problem.ts";

const MOST_JOBS = 1_000;

const redriveRequest = deadLetterFilter
  .extend({
    /** Every dead letter that can be retried; what nobody asks for by accident. */
    all: z.boolean().default(false),
    limit: z.int().min(1).max(MOST_JOBS).default(100),
  })
  .refine((asked) => asked.all || Object.keys(chosen(asked)).length > 0, {
    error: "must say which dead letters are meant, or all: true",
  });

const redriveBody = z.object({
  /** Of the jobs that are queued again. */
  job_ids: z.array(z.string()),
  /** As many as were asked for at most; the same request finds the next. */
  may_have_more: z.boolean(),
});

/** Queues dead letters again, oldest job first. Left out is what only a new upload can help. */
export const redriveAdminJobs: FastifyPluginAsyncZod<ApiDependencies> = async (app, { database, notifier }) => {
  app.route({
    method: "POST",
    url: "/redrive",
    schema: { body: redriveRequest, response: { 200: redriveBody, ...BODY_PROBLEMS, 422: problem, ...ADMIN_PROBLEMS } },
    handler: async (request) => {
      const { all: _, limit, ...filter } = request.body;
      const asked = { filter: { ...chosen(filter), limit }, correlation_id: request.id };
      const jobs = await database.transaction((tx) => redriveJobs(tx, asked));
      if (jobs.length > 0) notifier.wake();
      return { job_ids: jobs.map((job) => job.job_id), may_have_more: jobs.length === limit };
    },
  });
};
