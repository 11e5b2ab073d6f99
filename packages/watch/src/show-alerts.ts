import { type AlertRow, type AlertState, type Database, findEvaluation, listAlerts } from "@pipeline/db";
import { type AlertRule, DATABASE_RULE, EVERY_RULE, type Severity, type Unit } from "./alert-rules.ts";

/** An alert as it is shown to people and programs. */
export interface ShownAlert {
  name: string;
  severity: Severity;
  title: string;
  advice: string;
  /** `unknown`: nobody could look. */
  state: AlertState | "unknown";
  /** When its condition began to hold. */
  since: Date | null;
  value: number | null;
  unit: Unit;
  operator: AlertRule["operator"];
  threshold: number;
  notified_at: Date | null;
  cleared_at: Date | null;
}

export interface ShownAlerts {
  alerts: ShownAlert[];
  /** When the database's alerts were looked at last; null: never, or it cannot be asked. */
  evaluated_at: Date | null;
}

/** Every alert there is. `databaseAlert` is what the asking process knows of the database, if it watches. */
export async function showAlerts(database: Database, databaseAlert?: AlertRow): Promise<ShownAlerts> {
  const rows = await listAlerts(database);
  const evaluatedAt = await findEvaluation(database);
  const alerts = describeAlerts(rows, databaseAlert);
  for (const alert of alerts) {
    // It has just answered.
    if (alert.name === DATABASE_RULE.name && alert.state === "unknown") alert.state = "ok";
  }
  return { alerts, evaluated_at: evaluatedAt ?? null };
}

/** What is shown when the database cannot be asked. */
export function describeAlerts(rows: readonly AlertRow[], databaseAlert: AlertRow | undefined): ShownAlert[] {
  const known = new Map(rows.map((row) => [row.alert_name, row]));
  return EVERY_RULE.map((rule) =>
    describe(rule, rule.name === DATABASE_RULE.name ? databaseAlert : known.get(rule.name)),
  );
}

/** Somebody has been told, and not yet that it is over. */
export function isFiring({ state }: { state: ShownAlert["state"] }): boolean {
  return state === "firing" || state === "clearing";
}

const UNKNOWN = { state: "unknown", since: null, value: null, notified_at: null, cleared_at: null } as const;

function describe(rule: AlertRule, row: AlertRow | undefined): ShownAlert {
  const { name, severity, title, advice, unit, operator, threshold } = rule;
  const { state, since, value, notified_at, cleared_at } = row ?? UNKNOWN;
  return {
    name,
    severity,
    title,
    advice,
    state,
    since,
    value,
    unit,
    operator,
    threshold,
    notified_at,
    cleared_at,
  };
}
