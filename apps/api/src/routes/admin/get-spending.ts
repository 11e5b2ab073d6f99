import { getSpendingToday, listSpending } from "@pipeline/db";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { idField } from "../../contract/id-param.ts";
import { wholeNumber } from "../../contract/paging.ts";
import type { ApiDependencies } from "../../dependencies.ts";
import { ADMIN_PROBLEMS, problem } from "../../problems/problem.ts";

const MOST_DAYS = 366;

const spendingQuery = z.strictObject({
  days: wholeNumber.pipe(z.int().min(1).max(MOST_DAYS)).default(7),
  /** One user's alone. */
  user_id: idField.optional(),
});

const spendingBody = z.object({
  /** What today's budgets are compared with. */
  today: z.object({
    spent_usd: z.number(),
    reserved_usd: z.number(),
    warned_budget_usd: z.number().nullable(),
  }),
  /** By day (UTC), provider and model, newest first. */
  days: z.array(
    z.object({
      day: z.string(),
      provider: z.string(),
      model: z.string(),
      user_count: z.number(),
      request_count: z.number(),
      token_count: z.number(),
      page_count: z.number(),
      cost_usd: z.number(),
      /** Sent, perhaps billed, and not stored. */
      lost_request_count: z.number(),
      lost_usd: z.number(),
    }),
  ),
});

/** What was paid to providers. */
export const getAdminSpending: FastifyPluginAsyncZod<ApiDependencies> = async (app, { database }) => {
  app.route({
    method: "GET",
    url: "/spending",
    schema: { querystring: spendingQuery, response: { 200: spendingBody, 422: problem, ...ADMIN_PROBLEMS } },
    handler: async (request) => {
      const { days, user_id } = request.query;
      return {
        today: await getSpendingToday(database, user_id),
        days: await listSpending(database, { days, user_id }),
      };
    },
  });
};
