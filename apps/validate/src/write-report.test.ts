import { expect, it } from "vitest";
import type { Finding } from "./finding.ts";
import { resultOf, writeReport } from "./write-report.ts";

const passed: Finding = {
  section: "Service health",
  title: "The API answers",
  verdict: "PASS",
  detail: "in 3 ms",
  figures: { live_ms: 3 },
};
const facts = {
  url: "https://api.example.com",
  environment: "staging",
  build: "0.1.0+abc",
  started_at: "2026-01-31T12:00:00.000Z",
  seconds: 4.2,
  is_complete: true,
};

it("the report has the guide's parts, and says what failed, what to do and what was not looked at", () => {
  const failed: Finding = {
    ...passed,
    section: "Security",
    title: "A",
    verdict: "FAIL",
    detail: "a | b",
    advice: "Do c.",
  };
  const skipped: Finding = { ...passed, section: "Database", title: "B", verdict: "SKIP", detail: "needs d" };
  const report = writeReport({ ...facts, findings: [passed, failed, skipped] });
  expect(report.split("\n").filter((line) => line.startsWith("#"))).toEqual([
    "# Validation of https://api.example.com",
    "## Service health",
    "## Database",
    "## Security",
    "## Issues",
    "## Recommendations",
  ]);
  expect(report).toContain("- Date: 2026-01-31T12:00:00.000Z");
  expect(report).toContain("Result: **FAIL** (1 passed, 1 failed, 1 skipped)");
  expect(report).toContain("| PASS | The API answers | in 3 ms | live_ms 3 |");
  expect(report).toContain("| FAIL | A | a \\| b |");
  expect(report).toContain("- Security: A: a \\| b");
  expect(report).toContain("- A: Do c.");
  expect(report).toContain("- Not looked at: B: needs d");
});

it("a walk that was stopped is incomplete", () => {
  expect(resultOf({ findings: [passed], is_complete: true })).toBe("PASS");
  expect(resultOf({ findings: [passed], is_complete: false })).toBe("INCOMPLETE");
});

it("a walk that took no document through is incomplete, says what it lacked, and fails where anything did", () => {
  const section = "End-to-end document";
  const skipped: Finding = { ...passed, section, title: "A", verdict: "SKIP", detail: "needs --token" };
  const elsewhere: Finding = { ...skipped, section: "Database" };
  const failed: Finding = { ...passed, verdict: "FAIL" };
  expect(resultOf({ findings: [passed, elsewhere], is_complete: true })).toBe("PASS");
  expect(resultOf({ findings: [passed, skipped], is_complete: true })).toBe("INCOMPLETE");
  expect(resultOf({ findings: [failed, skipped], is_complete: true })).toBe("FAIL");
  const report = writeReport({ ...facts, findings: [passed, skipped] });
  expect(report).toContain("Result: **INCOMPLETE** (1 passed, 0 failed, 1 skipped)");
  expect(report).toContain("- Missing: no document was taken through: A: needs --token");
});
