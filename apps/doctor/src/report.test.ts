import type { Diagnosis } from "@pipeline/db";
import { expect, test } from "vitest";
import { formatReport } from "./report.ts";

const sound: Diagnosis = {
  invariant: "I4",
  title: "Fences never fall",
  severity: "error",
  offending: [],
  total: 0,
  unexamined: 0,
};

test("each check has a line, and what was not named or not read is told", () => {
  const report = formatReport([
    sound,
    { ...sound, total: 3, offending: [{ id: "a-job", why: "event 2 has fence 1 after 2" }] },
    { ...sound, severity: "warning", total: 1, offending: [{ id: "b-job", why: "is queued" }] },
    { ...sound, unexamined: 900 },
  ]);
  expect(report.split("\n")).toEqual([
    "ok    I4   Fences never fall",
    "FAIL  I4   Fences never fall: 3",
    "             a-job  event 2 has fence 1 after 2",
    "             and 2 more",
    "warn  I4   Fences never fall: 1",
    "             b-job  is queued",
    "ok    I4   Fences never fall (900 not read; --all reads them)",
    "",
    "4 checks, 1 violated, 1 with warnings.",
    "",
  ]);
});
