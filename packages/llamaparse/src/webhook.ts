import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { AppError } from "@pipeline/runtime";
import { z } from "zod";
import { providerIdSchema, type ProviderStatus } from "./provider-job.ts";

/**
 * That something happened to a job, and nothing more: what the job came to is asked of the provider, so that not even
 * a well-forged delivery brings text into a document.
 */
export interface WebhookEvent {
  /** The same for every delivery of one event, by which a replay is known. */
  event_id: string;
  /** Null for a pushed result, which names no job: there, the address that it came to does. */
  provider_job_id: string | null;
  status: ProviderStatus;
  /** Null for a pushed result. */
  occurred_at: Date | null;
}

export interface SignedDelivery {
  /** As it came, before anything parsed it. */
  body: Uint8Array;
  /** The header `LC-Signature`. */
  signature: string | undefined;
  secret: string;
  now: Date;
  windowMs?: number;
}

/** Three attempts with their waits take under two minutes; the rest is for clocks. */
const WINDOW_MS = 300_000;

/**
 * The event of a delivery that is signed and fresh. Throws `webhook_signature_invalid`, `webhook_malformed` or
 * `webhook_expired`, in this order, so that nothing unsigned is parsed.
 */
export function readSignedWebhook(delivery: SignedDelivery): WebhookEvent {
  if (!isSignatureValid(delivery)) {
    throw new AppError({
      kind: "unauthorized",
      code: "webhook_signature_invalid",
      message: "The delivery is not signed with the job's secret.",
    });
  }
  const event = parseWebhook(delivery.body);
  const { now, windowMs = WINDOW_MS } = delivery;
  if (event.occurred_at === null || Math.abs(now.getTime() - event.occurred_at.getTime()) > windowMs) {
    throw new AppError({
      kind: "unauthorized",
      code: "webhook_expired",
      message: "The delivery is too old, too early, or says no time.",
    });
  }
  return event;
}

/** Whether `sha256=<hex>` is the HMAC-SHA256 of the body; takes the same time wherever two signatures differ. */
export function isSignatureValid({ body, signature, secret }: Omit<SignedDelivery, "now">): boolean {
  const hex = /^sha256=([0-9a-f]{64})$/i.exec(signature ?? "")?.[1];
  // An empty secret is one that everybody knows.
  if (hex === undefined || secret === "") return false;
  return timingSafeEqual(createHmac("sha256", secret).update(body).digest(), Buffer.from(hex, "hex"));
}

const EVENT_TYPES = [
  "parse.pending",
  "parse.running",
  "parse.success",
  "parse.partial_success",
  "parse.error",
  "parse.cancelled",
] as const;

const EVENT_STATUSES: Readonly<Record<(typeof EVENT_TYPES)[number], ProviderStatus>> = {
  "parse.pending": "pending",
  "parse.running": "running",
  "parse.success": "completed",
  // The result says which pages are missing.
  "parse.partial_success": "completed",
  "parse.error": "failed",
  "parse.cancelled": "cancelled",
};

const eventSchema = z
  .object({
    event_id: z.string().regex(/^[\w.:-]{1,128}$/),
    event_type: z.enum(EVENT_TYPES),
    /** Seconds since 1970, with a fraction. */
    timestamp: z.number().positive().max(1e11),
    data: z.object({ id: providerIdSchema.optional(), job_id: providerIdSchema.optional() }),
  })
  .transform(({ event_id, event_type, timestamp, data }): WebhookEvent => ({
    event_id,
    provider_job_id: data.job_id ?? data.id ?? null,
    status: EVENT_STATUSES[event_type],
    occurred_at: new Date(timestamp * 1_000),
  }));

/** The older kind, which brings the whole result. */
const pushedResultSchema = z.object({ md: z.string(), json: z.array(z.looseObject({ page: z.int().positive() })) });

/** Either documented shape as one event; throws `webhook_malformed`. Proves nothing of who sent it. */
export function parseWebhook(body: Uint8Array): WebhookEvent {
  const value = parseBody(body);
  const event = eventSchema.safeParse(value);
  if (event.success) return event.data;
  if (!pushedResultSchema.safeParse(value).success) throw malformed();
  const digest = createHash("sha256").update(body).digest("hex");
  return { event_id: `sha256:${digest}`, provider_job_id: null, status: "completed", occurred_at: null };
}

/** By default the provider wraps the JSON into a JSON string. */
function parseBody(body: Uint8Array): unknown {
  const value = parseJson(Buffer.from(body).toString("utf8"));
  return typeof value === "string" ? parseJson(value) : value;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The syntax error quotes the text.
    throw malformed();
  }
}

function malformed(): AppError {
  return new AppError({
    kind: "invalid",
    code: "webhook_malformed",
    message: "The delivery has none of the shapes that the parsing service documents.",
  });
}
