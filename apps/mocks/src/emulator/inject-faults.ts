import type { IncomingHttpHeaders } from "node:http";
import { Readable } from "node:stream";
import { setImmediate } from "node:timers/promises";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Dice } from "./dice.ts";
import type { Fault, FaultPlan } from "./fault-plan.ts";
import type { Tally } from "./tally.ts";
import { wait } from "./wait.ts";

/** Told of each request before it is served, and waited for: a test can hold one, or end its sender meanwhile. */
export type RequestObserver = (seen: { route: string; headers: IncomingHttpHeaders }) => void | Promise<void>;

export type Refusal = Exclude<Fault, "half_body" | "timeout">;

export interface FaultParts {
  plan: FaultPlan;
  tally: Tally;
  hangMs: number;
  /** Aborted when the emulator closes: nobody waits longer then. */
  closing: AbortSignal;
  /** What a request asks for, the same for a repeated one, however its sender wrapped it. */
  contentOf: (request: FastifyRequest) => string;
  /** The routes that an empty account shuts; the others go on answering. */
  billedRoutes: ReadonlySet<string>;
  /** Answers as the service does that refuses. */
  refuse: (reply: FastifyReply, refused: { fault: Refusal; dice: Dice }) => FastifyReply;
  onRequest: RequestObserver | undefined;
}

/** Lets the routes of `api` meet the plan's latencies and faults, and counts what they answer. */
export function injectFaults(api: FastifyInstance, parts: FaultParts): void {
  const { plan, tally, closing } = parts;
  const cuts = new WeakMap<FastifyRequest, "half_body" | "timeout">();

  api.addHook("preHandler", async (request, reply) => {
    const route = routeOf(request);
    const isBilled = parts.billedRoutes.has(route);
    const { latencyMs, fault, dice } = plan.next({ route, content: parts.contentOf(request), isBilled });
    await parts.onRequest?.({ route, headers: request.headers });
    await wait(latencyMs, closing);
    if (fault === undefined) return;
    tally.countFault(fault);
    if (fault === "half_body" || fault === "timeout") cuts.set(request, fault);
    else return parts.refuse(reply, { fault, dice });
  });

  api.addHook("onSend", async (request, reply, payload) => {
    // A withheld answer ends in an error, which comes by here as well and reaches nobody.
    if (reply.raw.destroyed) return payload;
    tally.countAnswer(routeOf(request), reply.statusCode);
    const cut = cuts.get(request);
    cuts.delete(request);
    if (cut === undefined || !(typeof payload === "string" || Buffer.isBuffer(payload))) return payload;
    const bytes = Buffer.from(payload);
    reply.header("content-length", bytes.length);
    // The server, the stream and who bills the answer all watch for its end; Node warns above ten.
    reply.raw.setMaxListeners(20);
    const answer = cut === "half_body" ? cutInHalf(bytes) : neverAnswer(reply, parts);
    return Readable.from(answer, { objectMode: false });
  });
}

export function routeOf(request: FastifyRequest): string {
  return `${request.method} ${request.routeOptions.url ?? "(no such route)"}`;
}

/** An error in the middle of the body makes fastify cut the connection. */
async function* cutInHalf(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes.subarray(0, Math.floor(bytes.length / 2));
  // Once for the write, once for the socket: the half must have left before the cut.
  await setImmediate();
  await setImmediate();
  throw new Error("The answer is cut off, as was ordered.");
}

// oxlint-disable-next-line require-yield -- there is nothing to say
async function* neverAnswer(reply: FastifyReply, { hangMs, closing }: FaultParts): AsyncGenerator<Buffer> {
  const gone = new AbortController();
  reply.raw.socket?.once("close", () => gone.abort());
  await wait(hangMs, AbortSignal.any([closing, gone.signal]));
  reply.raw.destroy();
  throw new Error("No answer is given, as was ordered.");
}
