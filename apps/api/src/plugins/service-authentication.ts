import { AppError } from "@pipeline/runtime";
import { fastifyPlugin } from "fastify-plugin";
import { readBearerToken } from "../auth/bearer-token.ts";
import { serviceRoleRequired } from "../auth/forbidden.ts";
import type { ServiceVerifier } from "../auth/service-verifier.ts";
import type { TokenVerifier } from "../auth/token-verifier.ts";

/**
 * Lets only the service role into the scope that it is registered in; asks before the body is read. A user's valid token
 * is forbidden, everything else unauthorized.
 */
export const serviceAuthentication = fastifyPlugin<{ verifyService: ServiceVerifier; verifyToken: TokenVerifier }>(
  async (app, { verifyService, verifyToken }) => {
    app.addHook("onRequest", async (request) => {
      const token = readBearerToken(request.headers.authorization);
      try {
        await verifyService(token);
      } catch (error) {
        if (!(error instanceof AppError && error.kind === "unauthorized")) throw error;
        await verifyToken(token);
        throw serviceRoleRequired();
      }
    });
  },
  { name: "service-authentication" },
);
