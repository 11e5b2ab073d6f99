import { REPROCESS_FROM, reprocessDocumentWithin } from "@pipeline/db";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { documentParams } from "../contract/document-body.ts";
import { jobBody, presentJob } from "../contract/job-body.ts";
import { jobUrl } from "../contract/urls.ts";
import type { ApiDependencies } from "../dependencies.ts";
import { onceForKey } from "../plugins/once-for-key.ts";
import { BODY_PROBLEMS, COMMON_PROBLEMS, problem } from "../problems/problem.ts";

/** The stage to begin with, or the status that it begins from. */
const reprocessRequest = z.strictObject({ from: z.enum(REPROCESS_FROM) });

/** A new job that builds the document anew from a stage on. What search sees stays until it is done. */
export const reprocessDocumentRoute: FastifyPluginAsyncZod<ApiDependencies> = async (app, dependencies) => {
  const { database, notifier, settings } = dependencies;
  app.route({
    method: "POST",
    url: "/documents/:document_id/reprocess",
    schema: {
      params: documentParams,
      body: reprocessRequest,
      response: { 202: jobBody, ...BODY_PROBLEMS, 404: problem, 409: problem, 422: problem, ...COMMON_PROBLEMS },
    },
    handler: async (request, reply) => {
      const { document_id } = request.params;
      const { from } = request.body;
      const asked = { document_id, user_id: request.userId, from, correlation_id: request.id };
      const job = await reprocessDocumentWithin(onceForKey(database, request), asked, settings.uploadAllowance);
      notifier.wake();
      return reply.code(202).header("location", jobUrl(job.job_id)).send(presentJob(job));
    },
  });
};
