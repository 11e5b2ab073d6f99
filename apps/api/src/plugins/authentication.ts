import { fastifyPlugin } from "fastify-plugin";
import { readBearerToken } from "../auth/bearer-token.ts";
import type { TokenVerifier } from "../auth/token-verifier.ts";

declare module "fastify" {
  export interface FastifyRequest {
    /** Whose request it is; set in the scope of this plugin only, empty elsewhere. */
    userId: string;
    /** When the token ends; likewise. */
    tokenExpiresAt: Date;
  }
}

/** Lets nobody into the scope that it is registered in without a user's token; asks before the body is read. */
export const authentication = fastifyPlugin<{ verifyToken: TokenVerifier }>(
  async (app, { verifyToken }) => {
    app.decorateRequest("userId", "");
    app.decorateRequest("tokenExpiresAt");
    app.addHook("onRequest", async (request) => {
      const identity = await verifyToken(readBearerToken(request.headers.authorization));
      request.userId = identity.user_id;
      request.tokenExpiresAt = identity.expires_at;
    });
  },
  { name: "authentication" },
);
