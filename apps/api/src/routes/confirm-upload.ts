import { confirmUpload, type JobRow } from "@pipeline/db";
import { AppError } from "@pipeline/runtime";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { documentParams } from "../contract/document-body.ts";
import { jobBody, presentJob } from "../contract/job-body.ts";
import { jobUrl } from "../contract/urls.ts";
import type { ApiDependencies } from "../dependencies.ts";
import { BODY_PROBLEMS, COMMON_PROBLEMS, problem } from "../problems/problem.ts";

/** The client says that the file is in storage: its job starts at once instead of at the next look into storage. */
export const confirmUploadRoute: FastifyPluginAsyncZod<ApiDependencies> = async (app, { database, notifier }) => {
  app.route({
    method: "POST",
    url: "/documents/:document_id/uploaded",
    schema: {
      params: documentParams,
      response: { 202: jobBody, ...BODY_PROBLEMS, 404: problem, 409: problem, 422: problem, ...COMMON_PROBLEMS },
    },
    handler: async (request, reply) => {
      const { document_id } = request.params;
      const confirmed = { user_id: request.userId, document_id, correlation_id: request.id };
      const job = await confirmUpload(database, confirmed);
      const expected = requireExpected(job);
      notifier.wake();
      return reply.code(202).header("location", jobUrl(expected.job_id)).send(presentJob(expected));
    },
  });
};

function requireExpected(job: JobRow | undefined): JobRow {
  if (!job) {
    throw new AppError({ kind: "not_found", code: "document_not_found", message: "There is no such document." });
  }
  if (job.state === "deadletter" || job.state === "cancelled") {
    throw new AppError({
      kind: "conflict",
      code: "upload_not_expected",
      message: "The document's last job has ended without success; ask for a new one with POST /upload.",
    });
  }
  return job;
}
