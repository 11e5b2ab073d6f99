import type { AlertRow } from "@pipeline/db";
import { expect, test } from "vitest";
import { type AlertRule, EVERY_RULE, REMINDER_SECONDS } from "./alert-rules.ts";
import { judgeAlert } from "./judge-alert.ts";

const RULE: AlertRule = {
  name: "some_alert",
  severity: "warning",
  title: "Something",
  advice: "Do something.",
  unit: "jobs",
  operator: ">",
  threshold: 100,
  clearThreshold: 80,
  forSeconds: 60,
  clearForSeconds: 30,
  read: () => null,
};

/** Looks at these values at these seconds, one after the other; answers state and message of each look. */
function look(rule: AlertRule, looks: readonly (readonly [second: number, value: number | null])[]): string[] {
  let before: AlertRow | undefined;
  return looks.map(([second, value]) => {
    const { alert, kind } = judgeAlert(rule, { before, value, now: new Date(second * 1_000) });
    before = alert;
    return kind === undefined ? alert.state : `${alert.state}, told ${kind}`;
  });
}

test.each([
  [
    "a short peak is told to nobody",
    [
      [0, 101],
      [30, 500],
      [50, 100],
      [60, 101],
      [100, 101],
    ],
    ["pending", "pending", "ok", "pending", "pending"],
  ],
  [
    "a lasting one is told once",
    [
      [0, 101],
      [59, 101],
      [60, 101],
      [70, 101],
    ],
    ["pending", "pending", "firing, told firing", "firing"],
  ],
  [
    "what is below the threshold but not by enough goes on",
    [
      [0, 101],
      [60, 101],
      [70, 90],
      [80, 101],
    ],
    ["pending", "firing, told firing", "firing", "firing"],
  ],
  [
    "what is over is told when it is over for long enough",
    [
      [0, 101],
      [60, 101],
      [70, 80],
      [99, 0],
      [100, 0],
      [110, 0],
    ],
    ["pending", "firing, told firing", "clearing", "clearing", "ok, told cleared", "ok"],
  ],
  [
    "what comes back meanwhile is not told anew",
    [
      [0, 101],
      [60, 101],
      [70, 80],
      [80, 101],
      [95, 80],
      [124, 80],
      [125, 80],
    ],
    ["pending", "firing, told firing", "clearing", "firing", "clearing", "clearing", "ok, told cleared"],
  ],
  [
    "what goes on for long is told again",
    [
      [0, 101],
      [60, 101],
      [60 + REMINDER_SECONDS - 1, 101],
      [60 + REMINDER_SECONDS, 101],
      [61 + REMINDER_SECONDS, 101],
    ],
    ["pending", "firing, told firing", "firing", "firing, told reminder", "firing"],
  ],
  [
    "what cannot be told does not hold",
    [
      [0, 101],
      [30, null],
      [40, 101],
      [100, 101],
      [110, null],
      [140, null],
    ],
    ["pending", "ok", "pending", "firing, told firing", "clearing", "ok, told cleared"],
  ],
] as const)("%s", (_what, values, states) => {
  expect(look(RULE, values)).toEqual(states);
});

test("without a time to wait an alert fires and clears at once", () => {
  const rule: AlertRule = {
    ...RULE,
    forSeconds: 0,
    clearForSeconds: 0,
    operator: "<",
    threshold: 1,
    clearThreshold: 1,
  };
  expect(
    look(rule, [
      [0, 0],
      [1, 1],
      [2, 0],
    ]),
  ).toEqual(["firing, told firing", "ok, told cleared", "firing, told firing"]);
});

test("since when its condition holds is kept through all states, and forgotten at the end", () => {
  let alert: AlertRow | undefined;
  const sinceAt = (second: number, value: number) => {
    alert = judgeAlert(RULE, { before: alert, value, now: new Date(second * 1_000) }).alert;
    return alert.since?.getTime();
  };
  expect([sinceAt(5, 101), sinceAt(70, 101), sinceAt(80, 0), sinceAt(85, 101), sinceAt(90, 0)]).toEqual(
    Array.from({ length: 5 }, () => 5_000),
  );
  expect(sinceAt(130, 0)).toBeUndefined();
});

test("no alert can stand between firing and clearing for ever", () => {
  for (const { name, operator, threshold, clearThreshold } of EVERY_RULE) {
    const isLenient = operator === "<" ? clearThreshold >= threshold : clearThreshold <= threshold;
    expect([name, isLenient]).toEqual([name, true]);
  }
  expect(new Set(EVERY_RULE.map(({ name }) => name)).size).toBe(EVERY_RULE.length);
});
