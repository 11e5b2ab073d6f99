import type { FastifyReply } from "fastify";
import type { Dice } from "../emulator/dice.ts";
import type { Refusal } from "../emulator/inject-faults.ts";
import { formatDuration } from "../emulator/rate-budget.ts";
import { addBudgetHeaders, type Budgets, sendRateLimited } from "./embeddings-route.ts";
import { OVERLOADED, QUOTA_EXCEEDED, rateLimited, sendError, SERVER_ERROR } from "./openai-error.ts";

/** Short, so that tests with many of them end; the real ones go up to a minute. */
const RETRY_AFTER_MS = [20, 400] as const;

export function refuseAsOpenAi(budgets: Budgets) {
  return (reply: FastifyReply, { fault, dice }: { fault: Refusal; dice: Dice }): FastifyReply => {
    switch (fault) {
      case "quota":
        return sendError(reply, QUOTA_EXCEEDED);
      case "rate_limited":
        addBudgetHeaders(reply, budgets);
        return refuseByRate(reply, dice);
      case "server_error":
        return refuseByFault(reply, dice);
    }
  };
}

/** Three of four say how long to wait in headers, the others in their message alone. */
function refuseByRate(reply: FastifyReply, dice: Dice): FastifyReply {
  const waitMs = dice.between(RETRY_AFTER_MS);
  const kind = dice.next() < 0.5 ? "requests" : "tokens";
  if (dice.next() < 0.75) return sendRateLimited(reply, { kind, waitMs });
  return sendError(reply, rateLimited(kind, formatDuration(waitMs)));
}

/** From the service itself, or from the proxy in front of it, which knows no JSON. */
function refuseByFault(reply: FastifyReply, dice: Dice): FastifyReply {
  const drawn = dice.next();
  if (drawn < 0.4) return sendError(reply, SERVER_ERROR);
  if (drawn < 0.8) return sendError(reply, OVERLOADED);
  return reply.code(502).type("text/html").send("<html><head><title>502 Bad Gateway</title></head></html>\n");
}
