import { fastifyPlugin } from "fastify-plugin";

/** Nothing between us and the caller keeps what the scope that it is registered in answers. */
export const privateAnswers = fastifyPlugin(
  async (app) => {
    app.addHook("onRequest", async (_request, reply) => {
      reply.header("cache-control", "no-store");
    });
  },
  { name: "private-answers" },
);
