import type { AlertRow } from "@pipeline/db";
import type { Logger } from "@pipeline/runtime";
import { type Origin, type WebhookBody, writeMessage } from "./alert-message.ts";
import { type AlertRule, DATABASE_RULE, OTHERS_HOLD_BACK_SECONDS } from "./alert-rules.ts";
import { judgeAlert } from "./judge-alert.ts";
import { deliveryWaitMs, postWebhook } from "./post-webhook.ts";

/** The alert that cannot be kept in the database: that it is away. */
export interface Outage {
  /** The database has answered. */
  reached(): void;
  /** One look: what is to be told is told by this process itself. */
  look(): Promise<void>;
  /** As this process sees it. */
  alert(): AlertRow;
}

interface OutageOptions {
  origin: Origin;
  webhookUrl: string | undefined;
  /** Whether this process is the one that tells first. */
  isFirst: () => boolean;
  /** Milliseconds of a clock that never goes back. */
  clock: () => number;
  log: Logger;
}

export function createOutage(options: OutageOptions): Outage {
  const { clock, isFirst, log } = options;
  const queue: Waiting[] = [];
  // Times of day that follow the same clock as the spans.
  const zero = Date.now() - clock();
  let answeredAt = clock();
  let alert: AlertRow | undefined;

  const judge = (): AlertRow => {
    const seconds = (clock() - answeredAt) / 1_000;
    const before = alert;
    const now = new Date(zero + clock());
    const rule: AlertRule = isFirst() ? DATABASE_RULE : { ...DATABASE_RULE, threshold: OTHERS_HOLD_BACK_SECONDS };
    const judged = judgeAlert(rule, { before, value: seconds, now });
    alert = judged.alert;
    if (judged.kind !== undefined) {
      const { kind } = judged;
      const since = before?.since ?? new Date(now.getTime() - seconds * 1_000);
      alert = kind === "firing" ? { ...alert, since } : alert;
      log[kind === "cleared" ? "info" : "error"]({ alert: rule.name, value: seconds }, `alert ${kind}`);
      queue.push({ body: writeMessage({ rule, alert, kind, since }, options.origin), attemptCount: 0, dueAt: clock() });
    }
    return alert;
  };
  return {
    reached: () => {
      answeredAt = clock();
    },
    look: async () => {
      judge();
      await send(queue, options);
    },
    alert: () => alert ?? judge(),
  };
}

interface Waiting {
  body: WebhookBody;
  attemptCount: number;
  dueAt: number;
}

/** As from the database: in order, and none before the one in front of it. */
async function send(queue: Waiting[], { webhookUrl, clock, log }: OutageOptions): Promise<void> {
  for (;;) {
    const [head] = queue;
    if (head === undefined || head.dueAt > clock()) return;
    const refusal = webhookUrl === undefined ? undefined : await postWebhook(webhookUrl, head.body);
    if (refusal !== undefined) {
      head.dueAt = clock() + deliveryWaitMs(head.attemptCount, refusal.retryAfterMs);
      head.attemptCount += 1;
      log.warn({ alert: DATABASE_RULE.name, failure: refusal.failure }, "alert not delivered");
      return;
    }
    queue.shift();
  }
}
