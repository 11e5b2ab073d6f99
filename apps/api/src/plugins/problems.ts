import type { FastifyReply, FastifyRequest } from "fastify";
import { fastifyPlugin } from "fastify-plugin";
import { STATUS_CODES } from "node:http";
import { describeFailure, type Failure } from "../problems/describe-failure.ts";
import { PROBLEM_TYPE, type Problem } from "../problems/problem.ts";

/** Every failure of every route leaves as a problem body. */
export const problems = fastifyPlugin(
  async (app) => {
    app.setErrorHandler((error, request, reply) => answerWithProblem(error, request, reply));
    app.setNotFoundHandler((request, reply) => sendProblem(request, reply, ROUTE_NOT_FOUND));
  },
  { name: "problems" },
);

const ROUTE_NOT_FOUND: Failure = { status: 404, code: "route_not_found", detail: "There is no such route." };

export function answerWithProblem(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const failure = describeFailure(error);
  request.failure = { code: failure.code, cause: error };
  return sendProblem(request, reply, failure);
}

function sendProblem(request: FastifyRequest, reply: FastifyReply, failure: Failure): FastifyReply {
  const { retryAfterSeconds, ...facts } = failure;
  const body: Problem = {
    type: "about:blank",
    title: STATUS_CODES[failure.status] ?? "Error",
    ...facts,
    correlation_id: request.id,
  };
  if (retryAfterSeconds !== undefined) reply.header("retry-after", String(retryAfterSeconds));
  if (failure.status === 401) reply.header("www-authenticate", "Bearer");
  return reply.code(failure.status).type(PROBLEM_TYPE).send(body);
}
