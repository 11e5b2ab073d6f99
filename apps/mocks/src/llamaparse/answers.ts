import type { FastifyReply } from "fastify";
import type { z } from "zod";
import type { Dice } from "../emulator/dice.ts";
import type { Refusal } from "../emulator/inject-faults.ts";

/** A refusal as the service tells it: a sentence, or the fields that are at fault. */
export interface Refused {
  status: number;
  detail: unknown;
}

export function refuse(reply: FastifyReply, { status, detail }: Refused): FastifyReply {
  return reply.code(status).send({ detail });
}

export function badRequest(detail: string): Refused {
  return { status: 400, detail };
}

export function invalidFields(error: z.ZodError): Refused {
  const detail = error.issues.map(({ path, message, code }) => ({ loc: ["body", ...path], msg: message, type: code }));
  return { status: 422, detail };
}

export const NOT_AUTHENTICATED: Refused = { status: 401, detail: "Not authenticated" };
export const INVALID_KEY: Refused = { status: 401, detail: "Invalid API Key. Please check your region" };
export const NO_CREDITS: Refused = { status: 402, detail: "You have exceeded the credits of your plan." };
/** Nothing in a 429 says how long to wait. */
export const RATE_LIMITED: Refused = { status: 429, detail: "Rate limit exceeded" };
export const FILE_TOO_LARGE: Refused = { status: 413, detail: "File is too large." };
export const JOB_NOT_FOUND: Refused = { status: 404, detail: "Job not found" };

export function resultNotFound(id: string): Refused {
  return {
    status: 404,
    detail: `Result for Parsing Job ${id} not found. Check job status to see if the job is still running.`,
  };
}

export function refuseAsLlamaParse(reply: FastifyReply, { fault, dice }: { fault: Refusal; dice: Dice }): FastifyReply {
  switch (fault) {
    case "quota":
      return refuse(reply, NO_CREDITS);
    case "rate_limited":
      return refuse(reply, RATE_LIMITED);
    case "server_error":
      return refuseByFault(reply, dice);
  }
}

/** From the service, which then speaks plain text, or from what stands before it. */
function refuseByFault(reply: FastifyReply, dice: Dice): FastifyReply {
  const drawn = dice.next();
  if (drawn < 0.4) return reply.code(500).type("text/plain").send("Internal Server Error");
  if (drawn < 0.8) return refuse(reply, { status: 503, detail: "Service Unavailable" });
  return reply.code(502).type("text/html").send("<html><head><title>502 Bad Gateway</title></head></html>\n");
}
