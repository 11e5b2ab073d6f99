import { type DeadLetter, listDeadLetters } from "@pipeline/db";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { adminJob, chosen, deadLetterFilter, presentAdminJob } from "../../contract/admin-bodies.ts";
import { decodeNumbers, encodeNumbers, pageLimit, pageOf } from "../../contract/paging.ts";
import type { ApiDependencies } from "../../dependencies.ts";
import { ADMIN_PROBLEMS, problem } from "../../problems/problem.ts";

const deadLettersQuery = deadLetterFilter.extend({ cursor: z.string().optional(), limit: pageLimit(20) });

const deadLetter = adminJob.extend({
  /** A redrive leaves it out: only a new upload helps. */
  needs_upload: z.boolean(),
});
const deadLettersBody = z.object({
  dead_letters: z.array(deadLetter),
  next_cursor: z.string().nullable(),
});

/** Dead letters, oldest job first, by the same filter as a redrive. */
export const listAdminDeadLetters: FastifyPluginAsyncZod<ApiDependencies> = async (app, { database }) => {
  app.route({
    method: "GET",
    url: "/dead-letters",
    schema: { querystring: deadLettersQuery, response: { 200: deadLettersBody, 422: problem, ...ADMIN_PROBLEMS } },
    handler: async (request) => {
      const { cursor, limit, ...filter } = request.query;
      const [after = 0] = cursor === undefined ? [] : decodeNumbers(cursor, 1);
      const found = await listDeadLetters(database, { filter: chosen(filter), after, limit: limit + 1 });
      const { rows, last } = pageOf(found, limit);
      return {
        dead_letters: rows.map(presentDeadLetter),
        next_cursor: last ? encodeNumbers([last.seq]) : null,
      };
    },
  });
};

function presentDeadLetter(letter: DeadLetter): z.output<typeof deadLetter> {
  const { needs_upload, seq: _, ...job } = letter;
  return { ...presentAdminJob(job), needs_upload };
}
