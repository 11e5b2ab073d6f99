import { IncomingMessage, ServerResponse } from "node:http";
import { Socket } from "node:net";
import { fastifyCors } from "@fastify/cors";
import { RESUMABLE_TOKEN_HEADER } from "@pipeline/storage";
import { fastifyPlugin } from "fastify-plugin";
import helmet from "helmet";
import { CORRELATION_HEADER } from "./correlation.ts";
import { IDEMPOTENCY_HEADER, REPLAYED_HEADER } from "./idempotency.ts";

/** What supabase-js sends with the PUT to a signed link. */
const SUPABASE_HEADERS = ["apikey", "x-client-info", "cache-control", "x-upsert"];
/** What clients of resumable uploads send, and read. */
const TUS_HEADERS = ["tus-resumable", "upload-length", "upload-metadata", "upload-offset", RESUMABLE_TOKEN_HEADER];
const TUS_ANSWERS = ["tus-resumable", "upload-length", "upload-offset"];

const LIMIT_ANSWERS = ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"];

/** What browsers need to be told: who may call from where, and to treat answers as data. */
export const browsers = fastifyPlugin<{ corsOrigins: readonly string[] }>(
  async (app, { corsOrigins }) => {
    const headers = helmetHeaders();
    app.addHook("onRequest", (_request, reply, done) => {
      reply.headers(headers);
      done();
    });
    await app.register(fastifyCors, {
      origin: corsOrigins.length > 0 ? [...corsOrigins] : false,
      methods: ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
      allowedHeaders: [
        "authorization",
        "content-type",
        IDEMPOTENCY_HEADER,
        CORRELATION_HEADER,
        "traceparent",
        // Where a stream is read by `fetch`, which alone can send a token along.
        "last-event-id",
        ...SUPABASE_HEADERS,
        ...TUS_HEADERS,
      ],
      exposedHeaders: [
        CORRELATION_HEADER,
        "location",
        "retry-after",
        REPLAYED_HEADER,
        ...LIMIT_ANSWERS,
        ...TUS_ANSWERS,
      ],
      maxAge: 600,
      strictPreflight: false,
    });
  },
  { name: "browsers" },
);

/**
 * What helmet sets by default, asked for once: @fastify/helmet builds and parses it anew for each request, which was a tenth
 * of what a small one costs.
 */
function helmetHeaders(): Record<string, string> {
  const request = new IncomingMessage(new Socket());
  const response = new ServerResponse(request);
  helmet()(request, response, () => undefined);
  const headers = Object.entries(response.getHeaders());
  return Object.fromEntries(headers.map(([name, value]) => [name, String(value)]));
}
