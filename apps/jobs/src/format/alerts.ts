import { formatValue, isFiring, type ShownAlerts } from "@pipeline/watch";
import { formatAge } from "./age.ts";
import { formatTable } from "./table.ts";

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
  const looked =
    evaluated_at === null
      ? "Nobody has looked at the alerts yet: an API or a worker does while it runs.\n"
      : `Looked at ${formatAge(evaluated_at, now)}. ${firing.length === 0 ? "None fires." : `${firing.length} fire.`}\n`;
  const headings = ["ALERT", "SEVERITY", "STATE", "VALUE", "FIRES AT", "SINCE", "TOLD"];
  return [formatTable(headings, rows), looked, advice].filter((part) => part !== "").join("\n");
}
