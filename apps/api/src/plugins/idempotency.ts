import { createHash } from "node:crypto";
import {
  claimKey,
  deleteOldKeys,
  keepAnswer,
  releaseKey,
  retakeKey,
  type Database,
  type KeptAnswer,
  type RepeatableRequest,
} from "@pipeline/db";
import { AppError, type Logger } from "@pipeline/runtime";
import type { FastifyReply, FastifyRequest } from "fastify";
import { fastifyPlugin } from "fastify-plugin";
import { z } from "zod";

export const IDEMPOTENCY_HEADER = "idempotency-key";
export const REPLAYED_HEADER = "idempotency-replayed";

type Body = Record<string, unknown>;

declare module "fastify" {
  export interface FastifyContextConfig {
    /** False: the call changes nothing, and its answer is not to be kept. */
    isRepeatable?: boolean;
    /**
     * For answers with upload links, which are kept without them: signs them anew. Undefined where the answer holds no
     * more, and the request is to be done again.
     */
    renewLinks?: (request: FastifyRequest, kept: Body) => Promise<Body | undefined>;
    /** False for an answer that tells of what may pass: repeated, the request is done again. */
    isLasting?: (answer: Body) => boolean;
  }
  export interface FastifyRequest {
    /** The key that this request holds until it is answered. */
    heldKey: RepeatableRequest | null;
  }
}

/** How long a request whose process died keeps its key. What it did is found again by the one that takes over. */
const LEASE_MS = 60_000;

/**
 * A POST that brings an Idempotency-Key is done once: repeated within a day, it gets the first one's answer. What failed
 * changed nothing and is tried again. Work that must not be done twice keeps its answer itself, by `onceForKey`. Goes behind authentication: keys are the user's own. Answers are kept without upload
 * links, which are secrets and would be too old anyway; the route signs new ones.
 */
export const idempotency = fastifyPlugin<{ database: Database; log: Logger }>(
  async (app, { database, log }) => {
    app.decorateRequest("heldKey", null);
    app.addHook("preHandler", async (request, reply) => {
      const { config } = request.routeOptions;
      const key = request.headers[IDEMPOTENCY_HEADER];
      if (request.method !== "POST" || config.isRepeatable === false || key === undefined) return;
      const asked = repeatableRequest(request, key);
      const claim = await claimKey(database, asked, LEASE_MS);
      if (claim.outcome === "reused") throw keyReused();
      if (claim.outcome === "in_use") throw keyInUse();
      if (claim.outcome === "answered") {
        const body = await renew(request, claim.answer);
        if (body !== undefined) return replay(reply, { ...claim.answer, body });
        if (!(await retakeKey(database, asked, LEASE_MS))) throw keyInUse();
      }
      request.heldKey = asked;
    });
    app.addHook("onSend", async (request, reply, payload) => {
      const { heldKey } = request;
      if (heldKey === null) return;
      request.heldKey = null;
      try {
        await settle(database, { heldKey, request, reply, payload });
      } catch (err) {
        // The answer is true all the same; the key frees itself.
        log.warn({ err, correlation_id: request.id }, "answer not kept");
      }
    });
    const sweep = createSweep(database);
    app.addHook("onResponse", async (request) => {
      if (request.headers[IDEMPOTENCY_HEADER] === undefined) return;
      await sweep().catch((err: unknown) => log.warn({ err }, "old keys not deleted"));
    });
  },
  { name: "idempotency", dependencies: ["authentication"] },
);

/** Old keys go as new ones come, and not while anybody waits; workers see to those of whom nobody comes after. */
const SWEEP_INTERVAL_MS = 60_000;
/** In one statement. */
const SWEPT_AT_ONCE = 5_000;

function createSweep(database: Database): () => Promise<void> {
  let dueAt = Number.NEGATIVE_INFINITY;
  return async () => {
    if (performance.now() < dueAt) return;
    dueAt = performance.now() + SWEEP_INTERVAL_MS;
    await deleteOldKeys(database, SWEPT_AT_ONCE);
  };
}

async function renew(request: FastifyRequest, { body }: KeptAnswer): Promise<Body | undefined> {
  const { renewLinks } = request.routeOptions.config;
  return renewLinks === undefined ? body : renewLinks(request, body);
}

async function replay(reply: FastifyReply, { status_code, location, body }: KeptAnswer): Promise<void> {
  if (location !== null) reply.header("location", location);
  reply.code(status_code).header(REPLAYED_HEADER, "true").type("application/json; charset=utf-8");
  await reply.send(JSON.stringify(body));
}

interface Answered {
  heldKey: RepeatableRequest;
  request: FastifyRequest;
  reply: FastifyReply;
  payload: unknown;
}

async function settle(database: Database, { heldKey, request, reply, payload }: Answered): Promise<void> {
  const { renewLinks, isLasting = () => true } = request.routeOptions.config;
  const isDone = reply.statusCode >= 200 && reply.statusCode < 300 && typeof payload === "string";
  if (!isDone) return releaseKey(database, heldKey);
  const answered = JSON.parse(payload, renewLinks === undefined ? undefined : withoutLinks);
  const body = z.record(z.string(), z.unknown()).parse(answered);
  if (!isLasting(body)) return releaseKey(database, heldKey);
  await keepAnswer(database, heldKey, {
    status_code: reply.statusCode,
    location: z.string().nullable().catch(null).parse(reply.getHeader("location")),
    body,
  });
}

/** Names of fields that hold upload links, or the tokens of such. */
const LINK_FIELDS = new Set(["signed_url", "upload_expires_at", "resumable"]);

/** `upload` is a link in one upload's answer, and what holds them in a batch's. */
function withoutLinks(name: string, value: unknown): unknown {
  const isLink = name === "upload" && z.object({ token: z.string() }).safeParse(value).success;
  return isLink || LINK_FIELDS.has(name) ? null : value;
}

function repeatableRequest(request: FastifyRequest, key: string | string[]): RepeatableRequest {
  if (typeof key !== "string" || !/^[\x21-\x7e]{1,255}$/.test(key)) {
    const message = "Idempotency-Key takes 1 to 255 printable characters without blanks.";
    throw new AppError({ kind: "invalid", code: "idempotency_key_invalid", message });
  }
  const asked = JSON.stringify([request.method, request.url, request.body ?? null]);
  return { user_id: request.userId, key_digest: digest(key), request_digest: digest(asked) };
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function keyReused(): AppError {
  const message = "This Idempotency-Key was used for another request. Make a new one for each.";
  return new AppError({ kind: "invalid", code: "idempotency_key_reused", message });
}

export function keyInUse(): AppError {
  const message = "A request with this Idempotency-Key is under way. Ask again for its answer.";
  return new AppError({ kind: "conflict", code: "idempotency_key_in_use", message, retryAfterMs: 1_000 });
}
