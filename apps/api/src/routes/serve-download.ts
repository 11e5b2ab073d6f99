import { type DiskStore, DOWNLOAD_ROUTE } from "@pipeline/storage";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { attachment } from "../contract/attachment.ts";
import { problem } from "../problems/problem.ts";

const linkParams = z.object({ bucket: z.string(), "*": z.string() });
const linkQuery = z.object({ token: z.string().catch("") });

const file = { description: "The file", content: { "application/octet-stream": { schema: z.any() } } };

/** The serving end of the disk store's download links; the token in the link is the authorisation. */
export const serveDownload: FastifyPluginAsyncZod<{ store: DiskStore }> = async (app, { store }) => {
  app.route({
    method: "GET",
    url: DOWNLOAD_ROUTE,
    schema: {
      params: linkParams,
      querystring: linkQuery,
      response: { 200: file, 401: problem, 404: problem, 429: problem, 500: problem, 503: problem },
    },
    handler: async ({ params, query }, reply) => {
      const link = { bucket: params.bucket, path: params["*"], token: query.token };
      const { body, bytes_len, filename, mime } = await store.openDownload(link);
      return reply
        .header("cache-control", "private, no-store")
        .header("content-disposition", attachment(filename))
        .header("content-length", bytes_len)
        .type(mime)
        .send(body);
    },
  });
};
