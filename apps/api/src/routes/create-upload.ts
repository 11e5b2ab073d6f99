import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { uploadBody, uploadRequest } from "../contract/upload-body.ts";
import { jobUrl } from "../contract/urls.ts";
import { BODY_PROBLEMS, COMMON_PROBLEMS, problem } from "../problems/problem.ts";
import { acceptUpload, type UploadDependencies } from "../uploads/accept-upload.ts";
import { renewLinks } from "../uploads/renew-links.ts";

/** Takes the promise of a file and answers where to put it. The same file again is the same document and job. */
export const createUpload: FastifyPluginAsyncZod<UploadDependencies> = async (app, dependencies) => {
  const fileSchema = uploadRequest(dependencies.settings.uploadLimits);
  app.route({
    method: "POST",
    url: "/upload",
    config: {
      renewLinks: async ({ id, userId }, kept) =>
        renewLinks(dependencies, { user_id: userId, correlation_id: id, kept }),
    },
    schema: {
      body: fileSchema,
      response: { 200: uploadBody, 201: uploadBody, ...BODY_PROBLEMS, 409: problem, 422: problem, ...COMMON_PROBLEMS },
    },
    handler: async (request, reply) => {
      const upload = { user_id: request.userId, correlation_id: request.id, file: request.body };
      const body = await acceptUpload(dependencies, upload);
      if (body.duplicate) return reply.code(200).send(body);
      return reply.code(201).header("location", jobUrl(body.job_id)).send(body);
    },
  });
};
