import { AppError } from "@pipeline/runtime";
import type { FastifyRequest } from "fastify";
import { fastifyPlugin } from "fastify-plugin";

/**
 * Reads bodies of JSON. Clients that name the type with every call send none where none is taken, and that is no fault;
 * bodies are never unpacked, so that what is read is what was sent and counted.
 */
export const jsonBodies = fastifyPlugin(
  async (app) => {
    const parse = app.getDefaultJsonParser("error", "error");
    app.addContentTypeParser("application/json", { parseAs: "string" }, (request, body: string, done) => {
      if (isEncoded(request)) return done(encodingRefused());
      if (body === "" && request.routeOptions.schema?.body === undefined) return done(null);
      void parse(request, body, done);
    });
  },
  { name: "json-bodies" },
);

function isEncoded({ headers }: FastifyRequest): boolean {
  return !["", "identity"].includes((headers["content-encoding"] ?? "").trim().toLowerCase());
}

function encodingRefused(): AppError {
  return new AppError({
    kind: "invalid",
    code: "unsupported_content_type",
    message: "The request body has a Content-Encoding; bodies are taken as they are, without one.",
  });
}
