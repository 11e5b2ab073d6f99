import { fastifyUnderPressure } from "@fastify/under-pressure";
import { AppError } from "@pipeline/runtime";
import { fastifyPlugin } from "fastify-plugin";

/** Between two looks at the event loop. */
const SAMPLE_MS = 500;

/**
 * Turns requests away while the event loop lags, so that those in hand are answered in time; health still says how things
 * are, and the contract stays readable. That the database's connections are exhausted is told where one is asked for.
 */
export const pressure = fastifyPlugin<{ maxLagMs: number }>(
  async (app, { maxLagMs }) => {
    await app.register(fastifyUnderPressure, {
      maxEventLoopDelay: maxLagMs,
      sampleInterval: SAMPLE_MS,
      pressureHandler: async (request) => {
        if (/^\/(health|metrics|docs)/.test(request.routeOptions.url ?? "")) return;
        throw new AppError({
          kind: "transient",
          code: "server_busy",
          message: "Too much is asked at once; ask again.",
        });
      },
    });
  },
  { name: "pressure" },
);
