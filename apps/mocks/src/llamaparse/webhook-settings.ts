import { z } from "zod";

export const CALLBACK_EVENTS = [
  "parse.pending",
  "parse.running",
  "parse.success",
  "parse.error",
  "parse.partial_success",
  "parse.cancelled",
] as const;
export type CallbackEvent = (typeof CALLBACK_EVENTS)[number];

/** Where a job's end is told; `result` is v1's `webhook_url`, which gets the text itself. */
export type Webhook =
  | { shape: "result"; url: string }
  | {
      shape: "event";
      url: string;
      /** Undefined means all. */
      events: string[] | undefined;
      headers: Record<string, string>;
      format: "string" | "json";
      secret: string | undefined;
    };

/** The service's limit. */
const LONGEST_URL = 199;

/**
 * A callback goes to this machine, or to hosts that were named at the start: an emulator must not send documents' text
 * to strangers. The real service wants HTTPS and a domain's name, and would refuse these.
 */
export function webhookUrlSchema(hosts: readonly string[]) {
  return z
    .string()
    .max(LONGEST_URL, { error: "webhook_url must be shorter than 200 characters" })
    .refine((url) => isAllowed(url, hosts), { error: "webhook_url must lead to this machine or to an allowed host" });
}

export function webhookSettingsSchema(hosts: readonly string[]) {
  return z
    .object({
      webhook_url: webhookUrlSchema(hosts),
      webhook_events: z.array(z.enum(CALLBACK_EVENTS)).nullish(),
      webhook_headers: z.record(z.string(), z.coerce.string()).nullish(),
      webhook_output_format: z.enum(["string", "json"]).nullish(),
      webhook_signing_secret: z.string().min(1).nullish(),
    })
    .transform((settings): Webhook => ({
      shape: "event",
      url: settings.webhook_url,
      events: settings.webhook_events ?? undefined,
      headers: settings.webhook_headers ?? {},
      format: settings.webhook_output_format ?? "string",
      secret: settings.webhook_signing_secret ?? undefined,
    }));
}

function isAllowed(url: string, hosts: readonly string[]): boolean {
  if (!URL.canParse(url)) return false;
  const { protocol, hostname } = new URL(url);
  if (protocol !== "http:" && protocol !== "https:") return false;
  return /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(hostname) || hosts.includes(hostname);
}
