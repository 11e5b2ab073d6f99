import { fastifyCors } from "@fastify/cors";
import { fastifyHelmet } from "@fastify/helmet";
import { fastifyPlugin } from "fastify-plugin";
import { CORRELATION_HEADER } from "./correlation.ts";

/** What browsers need to be told: who may call from where, and to treat answers as data. */
export const browsers = fastifyPlugin<{ corsOrigins: readonly string[] }>(
  async (app, { corsOrigins }) => {
    await app.register(fastifyHelmet);
    await app.register(fastifyCors, {
      origin: corsOrigins.length > 0 ? [...corsOrigins] : false,
      methods: ["GET", "HEAD", "POST", "PUT", "DELETE"],
      // The last two are what supabase-js sends with the PUT to a signed link.
      allowedHeaders: ["authorization", "content-type", CORRELATION_HEADER, "cache-control", "x-upsert"],
      exposedHeaders: [CORRELATION_HEADER, "location", "retry-after"],
      maxAge: 600,
      strictPreflight: false,
    });
  },
  { name: "browsers" },
);
