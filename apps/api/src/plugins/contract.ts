import { fastifySwagger } from "@fastify/swagger";
import { fastifySwaggerUi } from "@fastify/swagger-ui";
import { fastifyPlugin } from "fastify-plugin";
import { jsonSchemaTransform, jsonSchemaTransformObject } from "fastify-type-provider-zod";
import { z } from "zod";
import manifest from "../../package.json" with { type: "json" };
import { finishDocument } from "../openapi/finish-document.ts";
import { OPERATIONS } from "../openapi/operations/index.ts";
import type { ContractDocument } from "../openapi/contract-document.ts";

declare module "fastify" {
  export interface FastifyInstance {
    /** The description of every route; call it once all are registered. */
    describeContract: () => ContractDocument;
  }
}

/** Helmet's policy would send the page's own scripts to https, which no development server speaks. */
const PAGE_POLICY = {
  "default-src": "'none'",
  "base-uri": "'none'",
  "connect-src": "'self'",
  "form-action": "'none'",
  "frame-ancestors": "'none'",
  "img-src": "'self' data:",
  "script-src": "'self'",
  "style-src": "'self' 'unsafe-inline'",
};

/** Collects the routes that are registered after it, and shows them as OpenAPI 3.1 and as a page, at `/docs`. */
export const contract = fastifyPlugin(
  async (app) => {
    await app.register(fastifySwagger, {
      openapi: {
        openapi: "3.1.0",
        info: { title: "Upload pipeline", version: manifest.version, description: DESCRIPTION },
        servers: [{ url: "/", description: "The host that serves this document" }],
      },
      transform: (route) => jsonSchemaTransform(withoutEmptyAnswers(route)),
      transformObject: jsonSchemaTransformObject,
    });
    let described: ContractDocument | undefined;
    const describe = () => (described ??= finishDocument(app.swagger(), OPERATIONS));
    app.decorate("describeContract", describe);
    await app.register(fastifySwaggerUi, {
      routePrefix: "/docs",
      staticCSP: PAGE_POLICY,
      theme: { title: "Upload pipeline" },
      transformSpecification: describe,
      transformSpecificationClone: false,
      uiConfig: { layout: "BaseLayout", docExpansion: "list", tryItOutEnabled: false, persistAuthorization: false },
    });
  },
  { name: "contract" },
);

type Route = Parameters<typeof jsonSchemaTransform>[0];

/** An answer without a body has no schema, which the generator cannot take; `operations` describes it. */
function withoutEmptyAnswers(route: Route): Route {
  const { response, ...schema } = route.schema ?? {};
  if (response === undefined || response === null) return route;
  const full = Object.entries(response).filter(([, answer]) => !EMPTY_ANSWER.safeParse(answer).success);
  return { ...route, schema: { ...schema, response: Object.fromEntries(full) } };
}

const EMPTY_ANSWER = z.object({ content: z.strictObject({}) });

const DESCRIPTION = `Files in, passages with citations out. A client promises a file, puts it into storage by a signed link, watches
its job, and searches.

JSON in snake_case, times as ISO 8601 in UTC. Every error is a problem body (RFC 9457) whose \`code\` is stable; each answer
lists its codes. What is no whole HTTP request is answered likewise, with 400, 408 or 431, on any path. What is another
user's answers 404 like what never existed.`;
