import { formatValue, isFiring, type ShownAlerts } from "@pipeline/watch";
import { formatAge } from "./age.ts";
import { formatTable } from "./table.ts";

/** Somebody who lives looks every ten seconds. */
const STALE_MS = 60_000;

/** False: no API and no worker looks at the alerts any more, or none has yet. */
export function isCurrent({ evaluated_at }: Pick<ShownAlerts, "evaluated_at">, now: Date): boolean {
  return evaluated_at !== null && now.getTime() - evaluated_at.getTime() <= STALE_MS;
}

export function formatAlerts({ alerts, evaluated_at }: ShownAlerts, now: Date): string {
  const rows = alerts.map((alert) => [
    alert.name,
    alert.severity,
    alert.state,
    formatValue(alert.value, alert.unit),
    `${alert.operator} ${formatValue(alert.threshold, alert.unit)}`,
    formatAge(alert.since, now),
    formatAge(alert.notified_at, now),
  ]);
  const firing = alerts.filter(isFiring);
  const advice = firing.map(({ name, title, advice: what }) => `${name}: ${title}. ${what}\n`).join("");
  const looked = describeLook(evaluated_at, now, firing.length);
  const headings = ["ALERT", "SEVERITY", "STATE", "VALUE", "FIRES AT", "SINCE", "TOLD"];
  return [formatTable(headings, rows), looked, advice].filter((part) => part !== "").join("\n");
}

function describeLook(evaluatedAt: Date | null, now: Date, firingCount: number): string {
  if (evaluatedAt === null) return "Nobody has looked at the alerts yet: an API or a worker does while it runs.\n";
  const age = formatAge(evaluatedAt, now);
  if (!isCurrent({ evaluated_at: evaluatedAt }, now)) {
    return `Nobody has looked since ${age}: no API and no worker runs. This is how it was then.\n`;
  }
  return `Looked at ${age}. ${firingCount === 0 ? "None fires." : `${firingCount} fire.`}\n`;
}
