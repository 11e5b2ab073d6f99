import { fastifyPlugin } from "fastify-plugin";
import type { TokenVerifier } from "../auth/token-verifier.ts";
import { unauthorized } from "../auth/unauthorized.ts";

declare module "fastify" {
  export interface FastifyRequest {
    /** Whose request it is; set in the scope of this plugin only, empty elsewhere. */
    userId: string;
  }
}

/** Lets nobody into the scope that it is registered in without a user's token; asks before the body is read. */
export const authentication = fastifyPlugin<{ verifyToken: TokenVerifier }>(
  async (app, { verifyToken }) => {
    app.decorateRequest("userId", "");
    app.addHook("onRequest", async (request) => {
      const identity = await verifyToken(readBearerToken(request.headers.authorization));
      request.userId = identity.user_id;
    });
  },
  { name: "authentication" },
);

/** RFC 6750 section 2.1. */
function readBearerToken(header: string | undefined): string {
  const token = /^Bearer +([\w.~+/-]+=*)$/i.exec(header ?? "")?.[1];
  if (token === undefined) throw unauthorized();
  return token;
}
