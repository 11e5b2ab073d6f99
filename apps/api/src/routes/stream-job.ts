import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { jobParams } from "../contract/job-body.ts";
import type { ApiDependencies } from "../dependencies.ts";
import { COMMON_PROBLEMS, problem } from "../problems/problem.ts";
import { createJobStreams } from "../streams/job-streams.ts";

/** What is no id of an event is none of ours: the client has seen nothing. */
const lastEventId = z
  .string()
  .regex(/^\d{1,15}$/)
  .transform(Number)
  .optional()
  .catch(undefined);

const stream = {
  description: "Messages of the type `job`, until the job is at its end",
  content: { "text/event-stream": { schema: z.any() } },
};
const nothingMore = { description: "The job is at its end, and everything of it was told before", content: {} };

/** A job's progress as server-sent events; `Last-Event-ID` goes on where a connection broke. */
export const streamJob: FastifyPluginAsyncZod<ApiDependencies> = async (app, { database, log, settings }) => {
  const streams = createJobStreams({ database, log }, settings.streams);
  // Before the listener closes, which waits for open answers.
  app.addHook("preClose", async () => streams.close());
  app.route({
    method: "GET",
    url: "/jobs/:job_id/stream",
    exposeHeadRoute: false,
    schema: {
      params: jobParams,
      response: { 200: stream, 204: nothingMore, 404: problem, ...COMMON_PROBLEMS, 429: problem },
    },
    handler: async (request, reply) => {
      const opened = await streams.open({
        job_id: request.params.job_id,
        user_id: request.userId,
        after: lastEventId.parse(request.headers["last-event-id"]),
        expiresAt: request.tokenExpiresAt,
      });
      // To a browser's EventSource this says not to connect again.
      if (opened === undefined) return reply.code(204).send();
      return reply.header("x-accel-buffering", "no").type("text/event-stream").send(opened);
    },
  });
};
