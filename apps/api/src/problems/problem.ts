import { z } from "zod";

/** RFC 9457 problem details; `code` is what programs branch on. */
export const problemSchema = z
  .object({
    type: z.literal("about:blank"),
    title: z.string(),
    status: z.int(),
    code: z.string(),
    detail: z.string(),
    correlation_id: z.string(),
    /** Seconds, as `Retry-After` has it; for one file of a batch, which has no headers of its own. */
    retry_after: z.int().optional(),
    errors: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
  })
  .meta({ id: "Problem" });
export type Problem = z.infer<typeof problemSchema>;

export const PROBLEM_TYPE = "application/problem+json";

/** The declaration of one status that a route answers with a problem. */
export const problem = { description: "Problem details", content: { [PROBLEM_TYPE]: { schema: problemSchema } } };

/** What every route behind the bearer token can answer. */
export const COMMON_PROBLEMS = { 401: problem, 429: problem, 500: problem, 503: problem } as const;

/** What every route for operators can answer. */
export const ADMIN_PROBLEMS = { 401: problem, 403: problem, 429: problem, 500: problem, 503: problem } as const;

/** What every route that reads a JSON body can answer before it has read it. */
export const BODY_PROBLEMS = { 400: problem, 413: problem, 415: problem } as const;
