import { listJobs, STATES, STATUSES } from "@pipeline/db";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { idField } from "../../contract/id-param.ts";
import { adminJob, presentAdminJob } from "../../contract/admin-bodies.ts";
import { decodeJobCursor, encodeJobCursor, pageLimit, pageOf } from "../../contract/paging.ts";
import { isStorable } from "../../contract/text.ts";
import type { ApiDependencies } from "../../dependencies.ts";
import { ADMIN_PROBLEMS, problem } from "../../problems/problem.ts";

const jobsQuery = z.strictObject({
  state: z.enum(STATES).optional(),
  status: z.enum(STATUSES).optional(),
  user_id: idField.optional(),
  /** Of the last error. */
  code: z.string().max(100).refine(isStorable, { error: "must be well-formed Unicode without NUL" }).optional(),
  cursor: z.string().optional(),
  limit: pageLimit(20),
});

const jobsBody = z.object({ jobs: z.array(adminJob), next_cursor: z.string().nullable() });

/** Everybody's jobs, newest first. */
export const listAdminJobs: FastifyPluginAsyncZod<ApiDependencies> = async (app, { database }) => {
  app.route({
    method: "GET",
    url: "/jobs",
    schema: { querystring: jobsQuery, response: { 200: jobsBody, 422: problem, ...ADMIN_PROBLEMS } },
    handler: async (request) => {
      const { cursor, limit, state, status, user_id, code } = request.query;
      const filter = {
        ...(state === undefined ? {} : { state }),
        ...(status === undefined ? {} : { status }),
        ...(user_id === undefined ? {} : { user_id }),
        ...(code === undefined ? {} : { code }),
      };
      const before = cursor === undefined ? undefined : decodeJobCursor(cursor);
      const { rows, last } = pageOf(await listJobs(database, { filter, before, limit: limit + 1 }), limit);
      return { jobs: rows.map(presentAdminJob), next_cursor: last ? encodeJobCursor(last) : null };
    },
  });
};
