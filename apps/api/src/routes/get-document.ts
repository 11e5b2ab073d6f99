import { getDocument } from "@pipeline/db";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { documentBody, documentParams, presentDocument } from "../contract/document-body.ts";
import type { ApiDependencies } from "../dependencies.ts";
import { COMMON_PROBLEMS, problem } from "../problems/problem.ts";

export const getDocumentRoute: FastifyPluginAsyncZod<ApiDependencies> = async (app, { database, embedder }) => {
  app.route({
    method: "GET",
    url: "/documents/:document_id",
    schema: { params: documentParams, response: { 200: documentBody, 404: problem, ...COMMON_PROBLEMS } },
    handler: async (request) => {
      const { document_id } = request.params;
      const document = await getDocument(database, { user_id: request.userId, document_id });
      return presentDocument(document, embedder.model);
    },
  });
};
