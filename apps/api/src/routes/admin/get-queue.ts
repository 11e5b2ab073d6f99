import { getQueueControl, getQueueStats, getWorkerHealth, STATES, STATUSES } from "@pipeline/db";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { controlBody } from "../../contract/admin-bodies.ts";
import type { ApiDependencies } from "../../dependencies.ts";
import { ADMIN_PROBLEMS } from "../../problems/problem.ts";

const queueCount = z.object({
  job_count: z.number(),
  /** Since the oldest of them was created, and since the one that changed longest ago did. */
  oldest_seconds: z.number().nullable(),
  idle_seconds: z.number().nullable(),
});

const queueBody = z.object({
  by_state: z.array(queueCount.extend({ state: z.enum(STATES) })),
  /** Of jobs that are not at their end. */
  by_status: z.array(queueCount.extend({ status: z.enum(STATUSES) })),
  /** Waiting and retryable jobs whose time has come. */
  due_count: z.number(),
  live_worker_count: z.number(),
  control: controlBody,
});

/** What is in the queue. */
export const getAdminQueue: FastifyPluginAsyncZod<ApiDependencies> = async (app, { database }) => {
  app.route({
    method: "GET",
    url: "/queue",
    schema: { response: { 200: queueBody, ...ADMIN_PROBLEMS } },
    handler: async () => {
      const stats = await getQueueStats(database);
      const control = await getQueueControl(database);
      const { live_count: live_worker_count } = await getWorkerHealth(database);
      return { ...stats, control, live_worker_count };
    },
  });
};
