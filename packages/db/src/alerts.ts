import { z } from "zod";
import { jsonObject } from "./rows.ts";
import { maybeOne, type Queryable } from "./queryable.ts";

export const ALERT_STATES = ["ok", "pending", "firing", "clearing"] as const;
export type AlertState = (typeof ALERT_STATES)[number];

export const MESSAGE_KINDS = ["firing", "reminder", "cleared"] as const;
export type MessageKind = (typeof MESSAGE_KINDS)[number];

const alertRow = z.object({
  alert_name: z.string(),
  state: z.enum(ALERT_STATES),
  state_since: z.date(),
  since: z.date().nullable(),
  value: z.number().nullable(),
  threshold: z.number(),
  notified_at: z.date().nullable(),
  cleared_at: z.date().nullable(),
});
export type AlertRow = z.infer<typeof alertRow>;

/**
 * Makes this process the one that looks at the alerts, for so long, if no other is. Whoever is goes on being it as long
 * as it asks in time.
 */
export async function holdAlertWatch(db: Queryable, input: { holder: string; leaseMs: number }): Promise<boolean> {
  const held = await db.run(
    `update ${db.schema}.alert_watch
     set holder = $1, expires_at = now() + $2::float8 * interval '1 ms'
     where holder = $1 or expires_at <= now()`,
    [input.holder, input.leaseMs],
  );
  return held === 1;
}

/** Lets another process look at the alerts at once. */
export async function leaveAlertWatch(db: Queryable, holder: string): Promise<void> {
  await db.run(`update ${db.schema}.alert_watch set holder = null, expires_at = '-infinity' where holder = $1`, [
    holder,
  ]);
}

/** False: another process looks at the alerts by now. Locks that, so that nobody else changes an alert meanwhile. */
export async function beginEvaluation(tx: Queryable, holder: string): Promise<boolean> {
  const begun = await tx.run(`update ${tx.schema}.alert_watch set evaluated_at = now() where holder = $1`, [holder]);
  return begun === 1;
}

export function listAlerts(db: Queryable): Promise<AlertRow[]> {
  return db.many(
    alertRow,
    `select alert_name, state, state_since, since, value, threshold, notified_at, cleared_at
     from ${db.schema}.alerts order by alert_name`,
  );
}

/** When somebody looked last; undefined: nobody ever did. */
export async function findEvaluation(db: Queryable): Promise<Date | undefined> {
  const found = await maybeOne(
    db,
    z.object({ evaluated_at: z.date() }),
    `select evaluated_at from ${db.schema}.alert_watch where evaluated_at is not null`,
  );
  return found?.evaluated_at;
}

export async function saveAlerts(tx: Queryable, alerts: readonly AlertRow[]): Promise<void> {
  await tx.run(
    `insert into ${tx.schema}.alerts as a (alert_name, state, state_since, since, value, threshold, notified_at, cleared_at)
     select * from unnest($1::text[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::float8[], $6::float8[],
       $7::timestamptz[], $8::timestamptz[])
     on conflict (alert_name) do update
     set state = excluded.state, state_since = excluded.state_since, since = excluded.since, value = excluded.value,
       threshold = excluded.threshold, notified_at = excluded.notified_at, cleared_at = excluded.cleared_at`,
    [
      alerts.map((alert) => alert.alert_name),
      alerts.map((alert) => alert.state),
      alerts.map((alert) => alert.state_since),
      alerts.map((alert) => alert.since),
      alerts.map((alert) => alert.value),
      alerts.map((alert) => alert.threshold),
      alerts.map((alert) => alert.notified_at),
      alerts.map((alert) => alert.cleared_at),
    ],
  );
}

export async function addAlertMessage(
  tx: Queryable,
  message: { alert_name: string; kind: MessageKind; body: object },
): Promise<void> {
  await tx.run(`insert into ${tx.schema}.alert_messages (alert_name, kind, body) values ($1, $2, $3::jsonb)`, [
    message.alert_name,
    message.kind,
    JSON.stringify(message.body),
  ]);
}

const messageRow = z.object({
  message_id: z.number(),
  alert_name: z.string(),
  kind: z.enum(MESSAGE_KINDS),
  body: jsonObject,
  attempt_count: z.number(),
  is_too_old: z.boolean(),
});
export type AlertMessage = z.infer<typeof messageRow>;

/** Nobody wants to be told of yesterday's alert. */
const MESSAGE_LIFE = "24 hours";

/**
 * Takes the message to send now, in order: one that waits for its next attempt holds up those behind it. For `holdMs` no
 * other process takes it, so that of many that deliver one sends it.
 */
export function takeAlertMessage(db: Queryable, holdMs: number): Promise<AlertMessage | undefined> {
  return maybeOne(
    db,
    messageRow,
    `update ${db.schema}.alert_messages m set due_at = now() + $1::float8 * interval '1 ms'
     where m.message_id = (select min(h.message_id) from ${db.schema}.alert_messages h where h.ended_at is null)
       and m.ended_at is null and m.due_at <= now()
     returning message_id, alert_name, kind, body, attempt_count,
       created_at < now() - interval '${MESSAGE_LIFE}' as is_too_old`,
    [holdMs],
  );
}

export async function endAlertMessage(
  db: Queryable,
  { message_id, outcome }: { message_id: number; outcome: "sent" | "given_up" },
): Promise<void> {
  await db.run(
    `update ${db.schema}.alert_messages set ended_at = now(), outcome = $2 where message_id = $1 and ended_at is null`,
    [message_id, outcome],
  );
}

export async function postponeAlertMessage(
  db: Queryable,
  { message_id, failure, delayMs }: { message_id: number; failure: string; delayMs: number },
): Promise<void> {
  await db.run(
    `update ${db.schema}.alert_messages
     set attempt_count = attempt_count + 1, last_failure = $2, due_at = now() + $3::float8 * interval '1 ms'
     where message_id = $1 and ended_at is null`,
    [message_id, failure, delayMs],
  );
}

/** Messages that were sent, or given up, a month ago, and those that are too old and nobody ended. */
export function forgetAlertMessages(db: Queryable): Promise<number> {
  return db.run(
    `delete from ${db.schema}.alert_messages where ended_at < now() - interval '30 days'
     or (ended_at is null and created_at < now() - 2 * interval '${MESSAGE_LIFE}')`,
  );
}
