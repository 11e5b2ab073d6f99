import type { DiskStore } from "@pipeline/storage";
import { UPLOAD_ROUTE } from "@pipeline/storage";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { problem } from "../problems/problem.ts";

const linkParams = z.object({ bucket: z.string(), "*": z.string() });
const linkQuery = z.object({ token: z.string().catch("") });
/** What Supabase Storage answers. */
const receivedBody = z.object({ Key: z.string() });

/** The receiving end of the disk store's links; the token in the link is the authorisation. */
export const receiveUpload: FastifyPluginAsyncZod<{ store: DiskStore }> = async (app, { store }) => {
  // The body must reach the store as a stream, whatever its type: no parser may touch it. This holds in this scope only.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", (_request, _payload, done) => done(null));
  const responses = {
    200: receivedBody,
    401: problem,
    409: problem,
    413: problem,
    415: problem,
    422: problem,
    429: problem,
    500: problem,
    503: problem,
  } as const;
  app.route({
    method: "PUT",
    url: UPLOAD_ROUTE,
    schema: { params: linkParams, querystring: linkQuery, response: responses },
    handler: async ({ params, query, headers, raw }) => {
      const length = headers["content-length"];
      const { key } = await store.receiveUpload({
        bucket: params.bucket,
        path: params["*"],
        token: query.token,
        body: raw,
        contentType: headers["content-type"],
        contentLength: length === undefined ? undefined : Number(length),
      });
      return { Key: `${params.bucket}/${key}` };
    },
  });
};
