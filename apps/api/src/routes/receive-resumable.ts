import type { ServerResponse } from "node:http";
import { type DiskStore, RESUMABLE_ROUTE } from "@pipeline/storage";
import type { FastifyRequest } from "fastify";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { problem } from "../problems/problem.ts";

const uploadParams = z.object({ upload_id: z.string() });

/** Nothing but the path and the headers says which upload is meant. */
const noQuery = z.strictObject({});

/**
 * Resumable uploads to the disk store, by the tus protocol; the token in `x-signature` is the authorisation. What is
 * refused before the protocol begins is a problem body, everything else is as the protocol has it.
 */
export const receiveResumable: FastifyPluginAsyncZod<{ store: DiskStore }> = async (app, { store }) => {
  // The body must reach the store as a stream, whatever its type: no parser may touch it. This holds in this scope only.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", (_request, _payload, done) => done(null));
  const response = {
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
    method: "POST",
    url: RESUMABLE_ROUTE,
    schema: { querystring: noQuery, response },
    handler: (request, reply) => serve(store, { request, reply, id: undefined }),
  });
  app.route({
    method: ["HEAD", "PATCH", "DELETE"],
    url: `${RESUMABLE_ROUTE}/:upload_id`,
    schema: { params: uploadParams, querystring: noQuery, response },
    handler: (request, reply) => serve(store, { request, reply, id: request.params.upload_id }),
  });
};

type Headers = Record<string, number | string | string[] | undefined>;

interface Exchange {
  request: Pick<FastifyRequest, "raw" | "failure">;
  reply: { raw: ServerResponse; hijack: () => unknown; getHeaders: () => Headers };
  id: string | undefined;
}

async function serve(store: DiskStore, { request, reply, id }: Exchange): Promise<void> {
  const answer = await store.admitResumable({ request: request.raw, response: reply.raw, id });
  reply.hijack();
  // What the plugins have to say goes along.
  for (const [name, value] of Object.entries(reply.getHeaders())) {
    if (value !== undefined) reply.raw.setHeader(name, value);
  }
  try {
    await answer();
  } catch (error) {
    // Nobody else answers any more: without this the connection would stay open.
    request.failure = { code: "internal_error", cause: error };
    reply.raw.destroy();
  }
}
