import { createHmac, randomUUID } from "node:crypto";
import { createDice, type Dice, type Range } from "../emulator/dice.ts";
import { assertRates } from "../emulator/fault-plan.ts";
import { wait } from "../emulator/wait.ts";
import type { Job } from "./job.ts";
import type { CallbackEvent, Webhook } from "./webhook-settings.ts";

const DELIVERY_FAULTS = ["lost", "duplicate", "late"] as const;
type DeliveryFault = (typeof DELIVERY_FAULTS)[number];
export type CallbackFault = DeliveryFault | "forged";

export interface CallbackOptions {
  /**
   * Share of the callbacks that are lost, come twice or come late, 0 to 1, together at most 1; and share of the jobs that
   * somebody forges a success for while they are still under way.
   */
  callbackRates?: Partial<Record<CallbackFault, number>>;
  /** How late a late one is; 5 s by default. */
  lateMs?: Range;
  /** The waits between the attempts, one more than these; 1, 2 and 4 s by default, of which three attempts use two. */
  backoffMs?: readonly number[];
}

export interface CallbackStats {
  /** Answered with 2xx. */
  delivered: number;
  /** Given up after the last attempt. */
  failed: number;
  attempts: number;
  lost: number;
  duplicate: number;
  late: number;
  /** Sent by nobody that knows the secret; counted whatever they were answered. */
  forged: number;
}

export interface Callbacks {
  /** Tells every webhook of the job that wants to know. Returns at once. */
  send(job: Job, event: CallbackEvent): void;
  /** Sends at once what would come late. */
  sendLate(): void;
  stats(): CallbackStats;
  /** Resolves when nothing is on its way. */
  settled(): Promise<void>;
}

export interface CallbackParts extends CallbackOptions {
  seed: number;
  now: () => number;
  /** Aborted when the emulator closes: nothing is sent from then on. */
  closing: AbortSignal;
  /** What a webhook of the shape `result` gets. */
  resultOf: (job: Job) => unknown;
}

const DEFAULT_BACKOFF_MS = [1_000, 2_000, 4_000];
const ATTEMPTS = 3;
const ATTEMPT_TIMEOUT_MS = 30_000;
const DEFAULT_LATE_MS: Range = [5_000, 5_000];

export function createCallbacks(parts: CallbackParts): Callbacks {
  const { callbackRates = {}, closing, seed } = parts;
  const { forged: forgedRate = 0, ...deliveryRates } = callbackRates;
  assertRates(deliveryRates);
  assertRates({ forged: forgedRate });
  const stats: CallbackStats = { delivered: 0, failed: 0, attempts: 0, lost: 0, duplicate: 0, late: 0, forged: 0 };
  const underWay = new Set<Promise<void>>();
  const keep = (work: Promise<void>): void => {
    const kept = work.finally(() => underWay.delete(kept));
    underWay.add(kept);
  };
  let release = new AbortController();
  const waitLate = (lateMs: number): Promise<void> => wait(lateMs, AbortSignal.any([closing, release.signal]));
  const diceFor = (webhook: Webhook, { job, purpose }: { job: Job; purpose: string }): Dice =>
    createDice(seed, `callback\n${job.key}\n${purpose}\n${job.order.webhooks.indexOf(webhook)}`);

  const sendTo = async (webhook: Webhook, { job, event }: { job: Job; event: CallbackEvent }): Promise<void> => {
    const dice = diceFor(webhook, { job, purpose: event });
    const letter = writeLetter(webhook, { job, event, parts });
    const fault = drawFault(deliveryRates, dice.next());
    if (fault !== undefined) stats[fault] += 1;
    if (fault === "lost") return;
    if (fault === "late") await waitLate(dice.between(parts.lateMs ?? DEFAULT_LATE_MS));
    await deliver(letter, { parts, stats });
    if (fault === "duplicate") await deliver(letter, { parts, stats });
  };

  const forgeFor = async (webhook: Webhook, job: Job): Promise<void> => {
    const dice = diceFor(webhook, { job, purpose: "forged" });
    if (dice.next() >= forgedRate) return;
    stats.forged += 1;
    const letter = writeLetter(webhook, { job, event: "parse.success", parts });
    await post(forge(letter, { webhook, isSigned: dice.next() < 0.5 }), closing);
  };

  return {
    send(job, event) {
      for (const webhook of job.order.webhooks) {
        if (wants(webhook, event)) keep(sendTo(webhook, { job, event }));
        if (event === "parse.pending") keep(forgeFor(webhook, job));
      }
    },
    sendLate() {
      release.abort();
      release = new AbortController();
    },
    stats: () => ({ ...stats }),
    settled: async () => {
      while (underWay.size > 0) await Promise.all(underWay);
    },
  };
}

function drawFault(rates: Partial<Record<DeliveryFault, number>>, drawn: number): DeliveryFault | undefined {
  let reached = 0;
  return DELIVERY_FAULTS.find((fault) => {
    reached += rates[fault] ?? 0;
    return drawn < reached;
  });
}

/** `webhook_url` hears of results alone. */
function wants(webhook: Webhook, event: CallbackEvent): boolean {
  if (webhook.shape === "result") return event === "parse.success" || event === "parse.partial_success";
  return webhook.events === undefined || webhook.events.includes(event);
}

interface Letter {
  url: string;
  headers: Record<string, string>;
  body: string;
}

function writeLetter(
  webhook: Webhook,
  { job, event, parts }: { job: Job; event: CallbackEvent; parts: CallbackParts },
): Letter {
  const common = { "content-type": "application/json", "user-agent": "llamaindex-webhook-service/1.0" };
  if (webhook.shape === "result") {
    return { url: webhook.url, headers: common, body: JSON.stringify(parts.resultOf(job)) };
  }
  const event_id = randomUUID();
  const payload = JSON.stringify({
    event_id,
    event_type: event,
    timestamp: parts.now() / 1_000,
    data: { id: job.id, job_id: job.id },
  });
  // "string" is JSON inside a JSON string.
  const body = webhook.format === "json" ? payload : JSON.stringify(payload);
  const headers = { ...webhook.headers, ...common, "x-webhook-event-id": event_id, "x-webhook-event-type": event };
  return { url: webhook.url, headers: sign(headers, { secret: webhook.secret, body }), body };
}

function sign(
  headers: Record<string, string>,
  { secret, body }: { secret: string | undefined; body: string },
): Record<string, string> {
  if (secret === undefined) return headers;
  return { ...headers, "lc-signature": `sha256=${createHmac("sha256", secret).update(body).digest("hex")}` };
}

/** What somebody could send who knows the address and the form, and no secret: no custom header, no query of the URL. */
function forge(letter: Letter, { webhook, isSigned }: { webhook: Webhook; isSigned: boolean }): Letter {
  const headers = Object.fromEntries(Object.entries(letter.headers).filter(([name]) => KNOWN_HEADERS.has(name)));
  if (webhook.shape === "result") {
    const url = new URL(letter.url);
    const names = [...url.searchParams.keys()];
    url.search = new URLSearchParams(Object.fromEntries(names.map((name) => [name, "forged"]))).toString();
    const body = JSON.stringify({ txt: "forged", md: "forged", json: [], images: [] });
    return { url: url.href, headers, body };
  }
  return { ...letter, headers: sign(headers, { secret: isSigned ? "forged" : undefined, body: letter.body }) };
}

/** Those that every callback has. */
const KNOWN_HEADERS: ReadonlySet<string> = new Set([
  "content-type",
  "user-agent",
  "x-webhook-event-id",
  "x-webhook-event-type",
]);

async function deliver(
  letter: Letter,
  { parts, stats }: { parts: CallbackParts; stats: CallbackStats },
): Promise<void> {
  const backoffMs = parts.backoffMs ?? DEFAULT_BACKOFF_MS;
  for (let attempt = 0; attempt < ATTEMPTS && !parts.closing.aborted; attempt += 1) {
    if (attempt > 0) await wait(backoffMs[attempt - 1] ?? 0, parts.closing);
    stats.attempts += 1;
    if (await post(letter, parts.closing)) {
      stats.delivered += 1;
      return;
    }
  }
  stats.failed += 1;
}

async function post({ url, headers, body }: Letter, closing: AbortSignal): Promise<boolean> {
  const signal = AbortSignal.any([closing, AbortSignal.timeout(ATTEMPT_TIMEOUT_MS)]);
  try {
    const response = await fetch(url, { method: "POST", headers, body, signal, redirect: "manual" });
    await response.body?.cancel();
    return response.ok;
  } catch {
    // Not reached, cut off or too slow: all of them count as an attempt without an answer.
    return false;
  }
}
