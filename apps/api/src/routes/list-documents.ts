import { listDocuments } from "@pipeline/db";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { documentBody, presentDocument } from "../contract/document-body.ts";
import { decodeDocumentCursor, encodeDocumentCursor, pageLimit } from "../contract/paging.ts";
import type { ApiDependencies } from "../dependencies.ts";
import { COMMON_PROBLEMS, problem } from "../problems/problem.ts";

const documentsQuery = z.strictObject({ cursor: z.string().optional(), limit: pageLimit(20) });

const documentsBody = z.object({ documents: z.array(documentBody), next_cursor: z.string().nullable() });

/** The user's documents, newest first. */
export const listDocumentsRoute: FastifyPluginAsyncZod<ApiDependencies> = async (app, { database }) => {
  app.route({
    method: "GET",
    url: "/documents",
    schema: {
      querystring: documentsQuery,
      response: { 200: documentsBody, 422: problem, ...COMMON_PROBLEMS },
    },
    handler: async (request) => {
      const { cursor, limit } = request.query;
      const before = cursor === undefined ? undefined : decodeDocumentCursor(cursor);
      // One more than asked for tells whether there is a next page.
      const found = await listDocuments(database, { user_id: request.userId, before, limit: limit + 1 });
      const documents = found.slice(0, limit);
      const last = found.length > limit ? documents.at(-1) : undefined;
      return { documents: documents.map(presentDocument), next_cursor: last ? encodeDocumentCursor(last) : null };
    },
  });
};
