import type { AlertRow, MessageKind } from "@pipeline/db";
import type { AlertRule, Unit } from "./alert-rules.ts";

/** Where the alert comes from; nothing in it is secret. */
export interface Origin {
  environment: string;
  schema: string;
}

/** As Slack's incoming webhooks take it, and what takes Slack's: Mattermost, Rocket.Chat, Discord with /slack. */
export interface WebhookBody {
  text: string;
  attachments: { color: string; fields: { title: string; value: string; short: boolean }[] }[];
}

export interface Told {
  rule: AlertRule;
  alert: AlertRow;
  kind: MessageKind;
  /** When the condition began to hold. */
  since: Date;
}

const WORDS = { firing: "FIRING", reminder: "STILL FIRING", cleared: "CLEARED" } as const;
const COLOURS = { firing: "danger", reminder: "danger", cleared: "good" } as const;

export function writeMessage({ rule, alert, kind, since }: Told, { environment, schema }: Origin): WebhookBody {
  const value = formatValue(alert.value, rule.unit);
  const threshold = `${rule.operator} ${formatValue(rule.threshold, rule.unit)}`;
  const advice = kind === "cleared" ? "" : ` ${rule.advice}`;
  const facts = {
    alert: rule.name,
    state: kind,
    severity: rule.severity,
    value,
    threshold,
    since: since.toISOString(),
    environment,
    schema,
  };
  return {
    text:
      `[${environment}] ${WORDS[kind]} ${rule.severity} ${rule.name}: ${rule.title}. ` +
      `Value ${value}, alert at ${threshold}, since ${since.toISOString()}.${advice}`,
    attachments: [
      {
        color: COLOURS[kind],
        fields: Object.entries(facts).map(([title, fact]) => ({ title, value: fact, short: true })),
      },
    ],
  };
}

export function formatValue(value: number | null, unit: Unit): string {
  if (value === null) return "unknown";
  switch (unit) {
    case "seconds":
      return `${round(value)} s`;
    case "share":
      return `${round(value * 100)} %`;
    case "jobs":
    case "processes":
    case "differences":
      return `${round(value)} ${unit}`;
  }
}

function round(value: number): string {
  return String(Math.round(value * 10) / 10);
}
