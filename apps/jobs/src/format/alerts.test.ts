import { describeAlerts } from "@pipeline/watch";
import { expect, test } from "vitest";
import { formatAlerts, isCurrent } from "./alerts.ts";

const NOW = new Date("2026-03-01T12:00:00Z");
const minutesAgo = (minutes: number): Date => new Date(NOW.getTime() - minutes * 60_000);

test("alerts are a table with what to do about those that fire", () => {
  const firing = {
    alert_name: "queue_backlog",
    state: "firing" as const,
    state_since: minutesAgo(9),
    since: minutesAgo(10),
    value: 140,
    threshold: 100,
    notified_at: minutesAgo(9),
    cleared_at: null,
  };
  const text = formatAlerts({ alerts: describeAlerts([firing], undefined), evaluated_at: minutesAgo(0) }, NOW);
  expect(text).toMatch(/^queue_backlog +warning +firing +140 jobs +> 100 jobs +10m ago +9m ago$/m);
  expect(text).toMatch(/^no_live_worker +critical +unknown +unknown +< 1 processes +- +-$/m);
  expect(text).toContain("Looked at 0s ago. 1 fire.");
  expect(text).toContain("queue_backlog: Too many jobs wait for a worker. Start more workers");
});

test("where nobody has looked yet that is said", () => {
  const text = formatAlerts({ alerts: describeAlerts([], undefined), evaluated_at: null }, NOW);
  expect(text).toContain("Nobody has looked at the alerts yet");
});

test("where nobody looks any more, what was seen last does not pass for now", () => {
  const shown = { alerts: describeAlerts([], undefined), evaluated_at: minutesAgo(3) };
  const text = formatAlerts(shown, NOW);
  expect(text).toContain("Nobody has looked since 3m ago");
  expect(text).not.toContain("None fires");
  expect(
    [shown, { evaluated_at: null }, { evaluated_at: minutesAgo(0.5) }].map((each) => isCurrent(each, NOW)),
  ).toEqual([false, false, true]);
});
