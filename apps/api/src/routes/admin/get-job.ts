import { eventRow, getJobDetails, listEvents } from "@pipeline/db";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { adminJob, presentAdminJob } from "../../contract/admin-bodies.ts";
import { isoTime } from "../../contract/iso-time.ts";
import { jobParams } from "../../contract/job-body.ts";
import { eventCursor, pageLimit, pageOf } from "../../contract/paging.ts";
import type { ApiDependencies } from "../../dependencies.ts";
import { ADMIN_PROBLEMS, problem } from "../../problems/problem.ts";

/** Of the events. */
const eventsQuery = z.strictObject({ cursor: eventCursor, limit: pageLimit(100) });

const jobDetails = adminJob.extend({
  generation: z.number(),
  priority: z.number(),
  turn: z.number(),
  fence: z.number(),
  crash_count: z.number(),
  lease_session_id: z.string().nullable(),
  lease_expires_at: isoTime.nullable(),
  worker_name: z.string().nullable(),
  mime: z.string(),
  bytes_len: z.number(),
  live_generation: z.number().nullable(),
  is_newest: z.boolean(),
});
const detailsBody = z.object({
  job: jobDetails,
  events: z.array(eventRow.extend({ created_at: isoTime })),
  /** Of the events. */
  next_cursor: z.string().nullable(),
});

/** Everything about a job of any user, with its history. */
export const getAdminJob: FastifyPluginAsyncZod<ApiDependencies> = async (app, { database }) => {
  app.route({
    method: "GET",
    url: "/jobs/:job_id",
    schema: {
      params: jobParams,
      querystring: eventsQuery,
      response: { 200: detailsBody, 404: problem, 422: problem, ...ADMIN_PROBLEMS },
    },
    handler: async (request) => {
      const { cursor: after, limit } = request.query;
      const job = await getJobDetails(database, request.params.job_id);
      const { job_id, user_id } = job;
      const { rows, last } = pageOf(await listEvents(database, { user_id, job_id, after, limit: limit + 1 }), limit);
      return {
        job: { ...job, ...presentAdminJob(job) },
        events: rows,
        next_cursor: last ? String(last.event_id) : null,
      };
    },
  });
};
