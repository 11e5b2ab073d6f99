import { fastifyPlugin } from "fastify-plugin";

/** Nothing between us and the caller keeps what the scope that it is registered in answers. */
export const privateAnswers = fastifyPlugin(
  async (app) => {
    app.addHook("onRequest", (_request, reply, done) => {
      reply.header("cache-control", "no-store");
      done();
    });
  },
  { name: "private-answers" },
);
