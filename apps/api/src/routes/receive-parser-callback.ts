import { createHash, randomBytes } from "node:crypto";
import {
  acceptCallback,
  type CallbackVerdict,
  findCallbackTarget,
  logCallback,
  type LoggedCallback,
} from "@pipeline/db";
import { readSignedWebhook, type WebhookEvent } from "@pipeline/llamaparse";
import { AppError } from "@pipeline/runtime";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { idParam } from "../contract/id-param.ts";
import type { ApiDependencies } from "../dependencies.ts";
import { answerWithProblem } from "../plugins/problems.ts";
import { describeFailure } from "../problems/describe-failure.ts";
import { problem } from "../problems/problem.ts";

const callbackParams = z.object({ job_id: idParam });
const callbackBody = z.instanceof(Buffer).catch(Buffer.alloc(0));
const callbackAnswer = z.object({ accepted: z.literal(true) });
const signatureHeader = z.string().optional().catch(undefined);

/** An event has some 300 bytes. */
const MAX_CALLBACK_BYTES = 16_384;

const PROVIDER = "llamaparse";

/**
 * Where LlamaParse says that a job has ended. That makes the waiting job claimable and nothing more: the worker asks the
 * provider itself. What became of a delivery is noted, of a flood of refused ones some; all that are refused get the same
 * answer, which tells whoever forged one nothing.
 */
export const receiveParserCallback: FastifyPluginAsyncZod<ApiDependencies> = async (app, dependencies) => {
  const { database, notifier, log } = dependencies;
  // Signatures are of the bytes as they came. This holds in this scope only.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => done(null, body));
  // For jobs that there are not, so that they cost as much as others.
  const nobodysSecret = randomBytes(32).toString("hex");

  const noteRefusal = async (refusal: Omit<LoggedCallback, "provider">): Promise<void> => {
    const isNoted = await logCallback(database, { provider: PROVIDER, ...refusal });
    if (!isNoted) log.info({ job_id: refusal.job_id, code: refusal.code }, "callback refused, and not noted");
  };

  app.setErrorHandler(async (error, request, reply) => {
    const code = describeUnread(error);
    if (code === undefined) return answerWithProblem(error, request, reply);
    const { job_id } = callbackParams.parse(request.params);
    await noteRefusal({ job_id, event_key: "unread", code });
    return answerWithProblem(refused(), request, reply);
  });

  app.route({
    method: "POST",
    url: "/webhooks/llamaparse/:job_id",
    bodyLimit: MAX_CALLBACK_BYTES,
    schema: {
      params: callbackParams,
      response: { 202: callbackAnswer, 403: problem, 429: problem, 500: problem, 503: problem },
    },
    handler: async (request, reply) => {
      const { job_id } = request.params;
      const body = callbackBody.parse(request.body);
      const refuse = async (code: string, event_key = digestOf(body)): Promise<never> => {
        await noteRefusal({ job_id, event_key, code });
        throw refused();
      };
      const target = await findCallbackTarget(database, { provider: PROVIDER, job_id });
      const signature = signatureHeader.parse(request.headers["lc-signature"]);
      const event = readEvent({ body, signature, secret: target?.webhook_secret ?? nobodysSecret });
      if (target === undefined) return refuse("webhook_job_unknown");
      if (event instanceof AppError) return refuse(event.code);
      const { event_id: event_key, provider_job_id } = event;
      const { submission_id } = target;
      const verdict = await database.transaction((tx) =>
        acceptCallback(tx, { provider: PROVIDER, job_id, submission_id, event_key, provider_job_id }),
      );
      if (verdict !== "accepted") return refuse(REFUSAL_CODES[verdict], event_key);
      notifier.wake();
      return reply.code(202).send({ accepted: true as const });
    },
  });
};

const REFUSAL_CODES: Readonly<Record<Exclude<CallbackVerdict, "accepted">, string>> = {
  replayed: "webhook_replayed",
  mismatched: "webhook_job_mismatch",
  late: "webhook_late",
};

/** What fastify refused before anybody looked at it; undefined: something else went wrong. */
function describeUnread(error: unknown): string | undefined {
  if (error instanceof AppError) return undefined;
  const { status } = describeFailure(error);
  if (status === 413) return "webhook_too_large";
  return status < 500 ? "webhook_malformed" : undefined;
}

function readEvent(delivery: { body: Buffer; signature: string | undefined; secret: string }): WebhookEvent | AppError {
  try {
    return readSignedWebhook({ ...delivery, now: new Date() });
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
}

/** Nothing that an unverified delivery says is kept, but the same one can be told from others. */
function digestOf(body: Buffer): string {
  return `sha256:${createHash("sha256").update(body).digest("hex")}`;
}

function refused(): AppError {
  return new AppError({ kind: "forbidden", code: "webhook_refused", message: "The delivery was refused." });
}
