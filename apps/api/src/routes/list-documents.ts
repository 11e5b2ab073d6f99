import { findDocumentBehind, listDocuments, STATES, STATUSES } from "@pipeline/db";
import { LIMITS } from "@pipeline/runtime";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { documentBody, presentDocument } from "../contract/document-body.ts";
import { decodeDocumentCursor, encodeDocumentCursor, MOST_LOOKED_AT, pageLimit, pageOf } from "../contract/paging.ts";
import { isStorable } from "../contract/text.ts";
import type { ApiDependencies } from "../dependencies.ts";
import { COMMON_PROBLEMS, problem } from "../problems/problem.ts";

const documentsQuery = z.strictObject({
  state: z.enum(STATES).optional(),
  status: z.enum(STATUSES).optional(),
  /** Part of the name, in either case. */
  filename: z
    .string()
    .min(1)
    .max(LIMITS.maxFilenameChars)
    .refine(isStorable, { error: "must be well-formed Unicode without NUL" })
    .optional(),
  cursor: z.string().optional(),
  limit: pageLimit(20),
});

const documentsBody = z.object({ documents: z.array(documentBody), next_cursor: z.string().nullable() });

/** The user's documents, newest first. */
export const listDocumentsRoute: FastifyPluginAsyncZod<ApiDependencies> = async (app, { database, embedder }) => {
  app.route({
    method: "GET",
    url: "/documents",
    schema: {
      querystring: documentsQuery,
      response: { 200: documentsBody, 422: problem, ...COMMON_PROBLEMS },
    },
    handler: async (request) => {
      const { cursor, limit, ...filter } = request.query;
      const before = cursor === undefined ? undefined : decodeDocumentCursor(cursor);
      const place = { user_id: request.userId, before };
      const isFiltered = Object.values(filter).some((value) => value !== undefined);
      const upTo = isFiltered ? await findDocumentBehind(database, { ...place, steps: MOST_LOOKED_AT }) : undefined;
      const found = await listDocuments(database, { ...place, filter, upTo, limit: limit + 1 });
      const { rows, last = upTo } = pageOf(found, limit);
      const documents = rows.map((document) => presentDocument(document, embedder.model));
      return { documents, next_cursor: last ? encodeDocumentCursor(last) : null };
    },
  });
};
