import { type Database, endAlertMessage, postponeAlertMessage, takeAlertMessage } from "@pipeline/db";
import type { Logger } from "@pipeline/runtime";
import { deliveryWaitMs, postWebhook } from "./post-webhook.ts";

/** In one go, so that a webhook that comes back is not flooded. */
const MOST_AT_ONCE = 20;
/** Longer than a webhook may take to answer, and the database after it. */
const HOLD_MS = 30_000;

/**
 * Sends what is to be told, in order, until one is not taken: that one is tried again later, and given up after a day. Any
 * number of processes may deliver. A message that was taken when this process died is sent again by the next.
 */
export async function deliverMessages(
  database: Database,
  { webhookUrl, log }: { webhookUrl: string; log: Logger },
): Promise<void> {
  for (let count = 0; count < MOST_AT_ONCE; count += 1) {
    const message = await takeAlertMessage(database, HOLD_MS);
    if (message === undefined) return;
    const { message_id, alert_name, kind, attempt_count, is_too_old } = message;
    if (is_too_old) {
      log.error({ alert: alert_name, kind, attempt_count }, "alert never delivered");
      await endAlertMessage(database, { message_id, outcome: "given_up" });
      continue;
    }
    const refusal = await postWebhook(webhookUrl, message.body);
    if (refusal === undefined) {
      await endAlertMessage(database, { message_id, outcome: "sent" });
      continue;
    }
    const delayMs = deliveryWaitMs(attempt_count, refusal.retryAfterMs);
    log.warn({ alert: alert_name, kind, failure: refusal.failure, delay_ms: delayMs }, "alert not delivered");
    await postponeAlertMessage(database, { message_id, failure: refusal.failure, delayMs });
    return;
  }
}
