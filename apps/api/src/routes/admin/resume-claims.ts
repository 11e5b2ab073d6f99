import { resumeClaims } from "@pipeline/db";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { controlBody } from "../../contract/admin-bodies.ts";
import type { ApiDependencies } from "../../dependencies.ts";
import { ADMIN_PROBLEMS, BODY_PROBLEMS } from "../../problems/problem.ts";

/** Workers claim again. */
export const resumeAdminClaims: FastifyPluginAsyncZod<ApiDependencies> = async (app, { database, notifier }) => {
  app.route({
    method: "POST",
    url: "/resume",
    schema: { response: { 200: controlBody, ...BODY_PROBLEMS, ...ADMIN_PROBLEMS } },
    handler: async () => {
      const control = await resumeClaims(database);
      notifier.wake();
      return control;
    },
  });
};
