import { AppError } from "@pipeline/runtime";
import { fastifyPlugin } from "fastify-plugin";

/** Until the database is known to be the right one nothing but health and the contract is answered. */
export const opening = fastifyPlugin<{ isOpen: () => boolean }>(
  async (app, { isOpen }) => {
    app.addHook("onRequest", (request, _reply, done) => {
      if (isOpen() || /^\/(health|metrics|docs)/.test(request.routeOptions.url ?? "")) return done();
      throw new AppError({
        kind: "transient",
        code: "database_unavailable",
        message: "The database cannot be reached.",
      });
    });
  },
  { name: "opening" },
);
