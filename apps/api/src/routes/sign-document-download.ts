import { getDocument, listFileKeys } from "@pipeline/db";
import { AppError } from "@pipeline/runtime";
import type { ObjectStore } from "@pipeline/storage";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { documentParams } from "../contract/document-body.ts";
import { isoTime } from "../contract/iso-time.ts";
import type { ApiDependencies } from "../dependencies.ts";
import { COMMON_PROBLEMS, problem } from "../problems/problem.ts";

/** Long enough to follow a link, too short to pass it on. */
const LINK_SECONDS = 300;

const downloadBody = z.object({
  /** Needs no token, until it expires. */
  url: z.string(),
  expires_at: isoTime,
  /** What a browser saves the file as. */
  filename: z.string(),
  mime: z.string(),
  bytes_len: z.number(),
});

/** A link to the file as it was uploaded, once it has been verified. */
export const signDocumentDownload: FastifyPluginAsyncZod<ApiDependencies> = async (app, { database, storage }) => {
  app.route({
    method: "GET",
    url: "/documents/:document_id/download",
    schema: {
      params: documentParams,
      response: { 200: downloadBody, 404: problem, 409: problem, ...COMMON_PROBLEMS },
    },
    handler: async (request) => {
      const asked = { user_id: request.userId, document_id: request.params.document_id };
      const { filename, mime, bytes_len } = await getDocument(database, asked);
      const key = await findStored(storage, await listFileKeys(database, asked));
      const expires_at = new Date(Date.now() + LINK_SECONDS * 1_000);
      const url = await sign(storage, { key, filename, mime });
      return { url, expires_at, filename, mime, bytes_len };
    },
  });
};

async function findStored(storage: ObjectStore, keys: readonly string[]): Promise<string> {
  for (const key of keys) if (await storage.stat(key)) return key;
  throw notStored();
}

async function sign(storage: ObjectStore, file: { key: string; filename: string; mime: string }): Promise<string> {
  const { key, ...named } = file;
  try {
    return await storage.signDownload(key, { expiresInSeconds: LINK_SECONDS, ...named });
  } catch (error) {
    throw error instanceof AppError && error.code === "object_not_found" ? notStored() : error;
  }
}

function notStored(): AppError {
  const message = "The document's file is not in storage, or has not been verified yet.";
  return new AppError({ kind: "conflict", code: "file_not_stored", message });
}
