import { findUserJobBehind, listUserJobs, STATES, STATUSES } from "@pipeline/db";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { idField } from "../contract/id-param.ts";
import { jobBody, presentJob } from "../contract/job-body.ts";
import { decodeJobCursor, encodeJobCursor, MOST_LOOKED_AT, pageLimit, pageOf } from "../contract/paging.ts";
import type { ApiDependencies } from "../dependencies.ts";
import { COMMON_PROBLEMS, problem } from "../problems/problem.ts";

const jobsQuery = z.strictObject({
  state: z.enum(STATES).optional(),
  status: z.enum(STATUSES).optional(),
  document_id: idField.optional(),
  cursor: z.string().optional(),
  limit: pageLimit(20),
});

const jobsBody = z.object({ jobs: z.array(jobBody), next_cursor: z.string().nullable() });

/** The user's jobs, newest first. */
export const listJobsRoute: FastifyPluginAsyncZod<ApiDependencies> = async (app, { database }) => {
  app.route({
    method: "GET",
    url: "/jobs",
    schema: { querystring: jobsQuery, response: { 200: jobsBody, 422: problem, ...COMMON_PROBLEMS } },
    handler: async (request) => {
      const { cursor, limit, ...filter } = request.query;
      const before = cursor === undefined ? undefined : decodeJobCursor(cursor);
      const place = { user_id: request.userId, before };
      const isFiltered = filter.state !== undefined || filter.status !== undefined;
      const upTo = isFiltered ? await findUserJobBehind(database, { ...place, steps: MOST_LOOKED_AT }) : undefined;
      const found = await listUserJobs(database, { ...place, filter, upTo, limit: limit + 1 });
      const { rows, last = upTo } = pageOf(found, limit);
      return { jobs: rows.map(presentJob), next_cursor: last ? encodeJobCursor(last) : null };
    },
  });
};
