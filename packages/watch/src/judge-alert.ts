import type { AlertRow, MessageKind } from "@pipeline/db";
import { type AlertRule, REMINDER_SECONDS } from "./alert-rules.ts";

export interface Judged {
  alert: AlertRow;
  /** What is to be told; undefined: nothing. */
  kind: MessageKind | undefined;
}

interface Look {
  /** Where the alert stood; undefined: nobody looked before. */
  before: AlertRow | undefined;
  value: number | null;
  now: Date;
}

/** One look at one alert. Told is what fires, what goes on firing for long, and what was told and is over. */
export function judgeAlert(rule: AlertRule, { before, value, now }: Look): Judged {
  const alert = { ...(before ?? quiet(rule, now)), value, threshold: rule.threshold };
  switch (alert.state) {
    case "ok":
    case "pending":
      return judgeQuiet(rule, alert, now);
    case "firing":
    case "clearing":
      return judgeTold(rule, alert, now);
  }
}

function judgeQuiet(rule: AlertRule, alert: AlertRow, now: Date): Judged {
  const isPending = alert.state === "pending";
  if (!stands(alert.value, rule, rule.threshold)) {
    return tell(isPending ? enter({ ...alert, since: null }, "ok", now) : alert);
  }
  const pending = isPending ? alert : enter({ ...alert, since: now }, "pending", now);
  if (secondsSince(pending.state_since, now) < rule.forSeconds) return tell(pending);
  return tell({ ...enter(pending, "firing", now), notified_at: now }, "firing");
}

function judgeTold(rule: AlertRule, alert: AlertRow, now: Date): Judged {
  const isClearing = alert.state === "clearing";
  if (stands(alert.value, rule, rule.clearThreshold)) {
    return isClearing ? tell(enter(alert, "firing", now)) : remind(alert, now);
  }
  const clearing = isClearing ? alert : enter(alert, "clearing", now);
  if (secondsSince(clearing.state_since, now) < rule.clearForSeconds) return tell(clearing);
  return tell({ ...enter(clearing, "ok", now), since: null, cleared_at: now }, "cleared");
}

function quiet(rule: AlertRule, now: Date): AlertRow {
  return {
    alert_name: rule.name,
    state: "ok",
    state_since: now,
    since: null,
    value: null,
    threshold: rule.threshold,
    notified_at: null,
    cleared_at: null,
  };
}

function stands(value: number | null, { operator }: AlertRule, threshold: number): boolean {
  if (value === null) return false;
  switch (operator) {
    case ">":
      return value > threshold;
    case ">=":
      return value >= threshold;
    case "<":
      return value < threshold;
  }
}

function remind(alert: AlertRow, now: Date): Judged {
  const isDue = alert.notified_at === null || secondsSince(alert.notified_at, now) >= REMINDER_SECONDS;
  return isDue ? tell({ ...alert, notified_at: now }, "reminder") : tell(alert);
}

function enter(alert: AlertRow, state: AlertRow["state"], now: Date): AlertRow {
  return { ...alert, state, state_since: now };
}

function tell(alert: AlertRow, kind?: MessageKind): Judged {
  return { alert, kind };
}

function secondsSince(time: Date, now: Date): number {
  return (now.getTime() - time.getTime()) / 1_000;
}
