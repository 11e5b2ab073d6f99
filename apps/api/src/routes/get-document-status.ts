import { findNewestJob, getDocument, lastErrorRow, STATES, STATUSES } from "@pipeline/db";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { documentParams } from "../contract/document-body.ts";
import { isoTime } from "../contract/iso-time.ts";
import { jobBody, presentJob } from "../contract/job-body.ts";
import type { ApiDependencies } from "../dependencies.ts";
import { COMMON_PROBLEMS, problem } from "../problems/problem.ts";

const statusBody = z.object({
  document_id: z.string(),
  status: z.enum(STATUSES),
  state: z.enum(STATES).nullable(),
  last_error: lastErrorRow.nullable(),
  /** Whether search finds passages of it; it does while a later job is under way too, but not if another model embedded it. */
  is_searchable: z.boolean(),
  chunk_count: z.number(),
  updated_at: isoTime,
  /** The newest one, with its progress. */
  job: jobBody.nullable(),
});

/** How far a document is. */
export const getDocumentStatus: FastifyPluginAsyncZod<ApiDependencies> = async (app, { database, embedder }) => {
  app.route({
    method: "GET",
    url: "/documents/:document_id/status",
    schema: { params: documentParams, response: { 200: statusBody, 404: problem, ...COMMON_PROBLEMS } },
    handler: async (request) => {
      const asked = { user_id: request.userId, document_id: request.params.document_id };
      const document = await getDocument(database, asked);
      const job = await findNewestJob(database, asked);
      const { document_id, processing_status, embed_model, chunk_count, updated_at } = document;
      return {
        document_id,
        // The job was read last: where the two differ, it knows better.
        status: job?.status ?? processing_status,
        state: job?.state ?? null,
        last_error: job?.last_error ?? null,
        is_searchable: embed_model === embedder.model,
        chunk_count,
        updated_at,
        job: job ? presentJob(job) : null,
      };
    },
  });
};
