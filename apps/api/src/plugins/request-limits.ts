import { isIPv6 } from "node:net";
import { AppError } from "@pipeline/runtime";
import type { FastifyReply, FastifyRequest } from "fastify";
import { fastifyPlugin } from "fastify-plugin";
import type { RequestCounter, RequestUsage } from "../limits/request-counter.ts";
import type { RequestLimits } from "../settings.ts";

declare module "fastify" {
  export interface FastifyRequest {
    /** Where the caller stands in this minute; null where nothing is limited. */
    requestUsage: { user: RequestUsage | null; address: RequestUsage | null };
  }
}

export interface RequestLimiting {
  counter: RequestCounter;
  limits: RequestLimits;
}

/** Limits what one address may ask in a minute, whoever asks; health, metrics and the contract are for everybody. */
export const addressLimit = fastifyPlugin<RequestLimiting>(
  async (app, { counter, limits }) => {
    app.decorateRequest("requestUsage");
    app.addHook("onRequest", (request, reply, done) => {
      request.requestUsage = { user: null, address: null };
      if (isForEverybody(request)) return done();
      const usage = counter.take({ kind: "address", name: networkOf(request.ip) }, limits.perAddress);
      request.requestUsage.address = usage;
      answerLimit(reply, usage);
      done();
    });
  },
  { name: "address-limit" },
);

/** Limits what one user may ask in a minute, from wherever; goes behind authentication. */
export const userLimit = fastifyPlugin<RequestLimiting>(
  async (app, { counter, limits }) => {
    app.addHook("onRequest", (request, reply, done) => {
      const usage = counter.take({ kind: "user", name: request.userId }, limits.perUser);
      request.requestUsage.user = usage;
      answerLimit(reply, usage);
      done();
    });
  },
  { name: "user-limit", dependencies: ["authentication", "address-limit"] },
);

function isForEverybody({ routeOptions }: FastifyRequest): boolean {
  return /^\/(health|metrics|docs|openapi)/.test(routeOptions.url ?? "");
}

/** A customer of an IPv6 provider has a network of 64 bits at least. */
function networkOf(address: string): string {
  if (!isIPv6(address) || address.startsWith("::ffff:")) return address;
  const [head = "", tail] = address.split("::");
  const groups = head.split(":");
  if (tail === undefined) return groups.slice(0, 4).join(":");
  const last = tail === "" ? [] : tail.split(":");
  const missing = Array.from({ length: Math.max(0, 8 - groups.length - last.length) }, () => "0");
  return [...groups, ...missing, ...last].slice(0, 4).join(":");
}

/** Headers as the IETF's draft has them; the user's stand, being asked about last, over the address's. */
function answerLimit(reply: FastifyReply, usage: RequestUsage & { isAllowed: boolean }): void {
  const retryAfterMs = Math.max(1_000, usage.resets_at.getTime() - Date.now());
  reply.headers({
    "ratelimit-limit": String(usage.limit),
    "ratelimit-remaining": String(usage.limit - usage.used),
    "ratelimit-reset": String(Math.ceil(retryAfterMs / 1_000)),
  });
  if (usage.isAllowed) return;
  const message = `At most ${usage.limit} requests a minute are answered.`;
  throw new AppError({ kind: "rate_limited", code: "request_limit", message, retryAfterMs });
}
