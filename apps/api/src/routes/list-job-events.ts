import { eventRow, getJob, listEvents } from "@pipeline/db";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { isoTime } from "../contract/iso-time.ts";
import { jobParams } from "../contract/job-body.ts";
import { eventCursor, pageLimit } from "../contract/paging.ts";
import type { ApiDependencies } from "../dependencies.ts";
import { COMMON_PROBLEMS, problem } from "../problems/problem.ts";

const eventsQuery = z.strictObject({ cursor: eventCursor, limit: pageLimit(100) });

const eventsBody = z.object({
  events: z.array(eventRow.extend({ created_at: isoTime })),
  /** Null at the end; whoever waits for more goes on with the last `event_id`. */
  next_cursor: z.string().nullable(),
});

/** A job's history, oldest first. */
export const listJobEvents: FastifyPluginAsyncZod<ApiDependencies> = async (app, { database }) => {
  app.route({
    method: "GET",
    url: "/jobs/:job_id/events",
    schema: {
      params: jobParams,
      querystring: eventsQuery,
      response: { 200: eventsBody, 404: problem, 422: problem, ...COMMON_PROBLEMS },
    },
    handler: async (request) => {
      const { cursor, limit } = request.query;
      const { job_id } = await getJob(database, { user_id: request.userId, job_id: request.params.job_id });
      const found = await listEvents(database, { user_id: request.userId, job_id, after: cursor, limit: limit + 1 });
      const events = found.slice(0, limit);
      const last = found.length > limit ? events.at(-1) : undefined;
      return { events, next_cursor: last ? String(last.event_id) : null };
    },
  });
};
