import { expect, test } from "vitest";
import { formatAge, formatSeconds, parseDays } from "./age.ts";
import { formatFacts, formatTable, shorten } from "./table.ts";

test.each([
  [-3, "0s"],
  [0, "0s"],
  [59.9, "59s"],
  [60, "1m"],
  [3_599, "59m"],
  [3_600, "1h"],
  [47 * 3_600, "47h"],
  [48 * 3_600, "2d"],
  [400 * 86_400, "400d"],
])("%d seconds are %s", (seconds, expected) => {
  expect(formatSeconds(seconds)).toBe(expected);
});

test("a time is told by its distance, in the past and ahead", () => {
  const now = new Date("2026-01-01T12:00:00Z");
  expect(formatAge(null, now)).toBe("-");
  expect(formatAge(new Date("2026-01-01T11:58:00Z"), now)).toBe("2m ago");
  expect(formatAge(new Date("2026-01-01T12:00:30Z"), now)).toBe("in 30s");
});

test.each([
  ["12h", 0.5],
  ["30d", 30],
  ["2w", 14],
  ["0d", undefined],
  ["30", undefined],
  ["-1d", undefined],
  ["1d 2h", undefined],
  ["", undefined],
])("the age %j is %s days", (text, days) => {
  expect(parseDays(text)).toBe(days);
});

test("columns are as wide as their widest cell, and nothing trails", () => {
  expect(
    formatTable(
      ["A", "LONG"],
      [
        ["wide cell", "x"],
        ["y", ""],
      ],
    ),
  ).toBe("A          LONG\nwide cell  x\ny\n");
});

test("what would move the cursor or turn the text around is shown as a mark", () => {
  expect(formatFacts([["file", "a\u001B[31m\n\u202Eb\u2028c"]])).toBe("file  a\uFFFD[31m\uFFFD\uFFFDb\uFFFDc\n");
});

test("a long name is cut", () => {
  expect([shorten("abcdef", 6), shorten("abcdefg", 6)]).toEqual(["abcdef", "abcde…"]);
});
