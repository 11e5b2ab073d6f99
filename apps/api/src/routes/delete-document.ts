import { setTimeout as delay } from "node:timers/promises";
import { deferRemovals, deleteDocument } from "@pipeline/db";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { documentParams } from "../contract/document-body.ts";
import type { ApiDependencies } from "../dependencies.ts";
import { BODY_PROBLEMS, COMMON_PROBLEMS, problem } from "../problems/problem.ts";

/** How long the answer waits for storage; what it has not removed by then workers see to. */
const STORAGE_PATIENCE_MS = 2_000;

/** Deletes a document in whatever state it is, with everything made of it. Its file goes too, at the latest with storage. */
export const deleteDocumentRoute: FastifyPluginAsyncZod<ApiDependencies> = async (app, dependencies) => {
  app.route({
    method: "DELETE",
    url: "/documents/:document_id",
    schema: {
      params: documentParams,
      response: { 204: z.undefined(), ...BODY_PROBLEMS, 404: problem, ...COMMON_PROBLEMS },
    },
    handler: async (request, reply) => {
      const asked = { user_id: request.userId, document_id: request.params.document_id };
      const keys = await dependencies.database.transaction((tx) => deleteDocument(tx, asked));
      await Promise.race([
        removeFiles(dependencies, { keys, correlation_id: request.id }),
        delay(STORAGE_PATIENCE_MS, undefined, { ref: false }),
      ]);
      return reply.code(204).send(undefined);
    },
  });
};

/** The rows are gone and the keys written down: whatever comes of this, the document is deleted. Never throws. */
async function removeFiles(
  { database, storage, log }: ApiDependencies,
  { keys, correlation_id }: { keys: string[]; correlation_id: string },
): Promise<void> {
  try {
    await storage.remove(keys);
    await deferRemovals(database, keys);
  } catch (err) {
    log.warn({ err, correlation_id }, "deleted document's file not removed yet");
  }
}
