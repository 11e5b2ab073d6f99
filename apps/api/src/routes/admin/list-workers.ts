import { listWorkerSessions } from "@pipeline/db";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { isoTime } from "../../contract/iso-time.ts";
import { pageLimit } from "../../contract/paging.ts";
import type { ApiDependencies } from "../../dependencies.ts";
import { ADMIN_PROBLEMS, problem } from "../../problems/problem.ts";

const workersQuery = z.strictObject({ limit: pageLimit(20) });

const workersBody = z.object({
  workers: z.array(
    z.object({
      session_id: z.string(),
      worker_name: z.string(),
      hostname: z.string(),
      pid: z.number(),
      started_at: isoTime,
      heartbeat_at: isoTime,
      expires_at: isoTime,
      ended_at: isoTime.nullable(),
      is_live: z.boolean(),
      /** Jobs that it holds. */
      job_count: z.number(),
    }),
  ),
});

/** Runs of workers: those alive first, then those heard of last. */
export const listAdminWorkers: FastifyPluginAsyncZod<ApiDependencies> = async (app, { database }) => {
  app.route({
    method: "GET",
    url: "/workers",
    schema: { querystring: workersQuery, response: { 200: workersBody, 422: problem, ...ADMIN_PROBLEMS } },
    handler: async (request) => ({ workers: await listWorkerSessions(database, request.query.limit) }),
  });
};
