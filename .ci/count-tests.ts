import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

/** Adds up vitest's JSON reports in a directory, prints the sum as the last line, fails when anything failed. */
const directory = process.argv[2] ?? "reports";
const names = await readdir(directory);
const sum = { passed: 0, failed: 0, skipped: 0 };
for (const name of names.filter((candidate) => candidate.endsWith(".json"))) {
  const report: unknown = JSON.parse(await readFile(join(directory, name), "utf8"));
  sum.passed += numberAt(report, "numPassedTests");
  // A file that could not even be loaded counts as a failed test: its tests never ran.
  sum.failed += numberAt(report, "numFailedTests") + unloadedSuites(report);
  sum.skipped += numberAt(report, "numPendingTests") + numberAt(report, "numTodoTests");
}
if (names.includes("failed") && sum.failed === 0) sum.failed = 1;
process.stdout.write(`${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped\n`);
process.exitCode = sum.failed > 0 || sum.passed === 0 ? 1 : 0;

function numberAt(report: unknown, key: string): number {
  const value = fieldOf(report, key);
  if (typeof value !== "number") throw new Error(`The report has no number ${key}.`);
  return value;
}

function unloadedSuites(report: unknown): number {
  const results = fieldOf(report, "testResults");
  if (!Array.isArray(results)) throw new Error("The report has no testResults.");
  return results.filter((file) => {
    const tests = fieldOf(file, "assertionResults");
    return fieldOf(file, "status") === "failed" && Array.isArray(tests) && tests.length === 0;
  }).length;
}

function fieldOf(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null
    ? Object.entries(value).find(([name]) => name === key)?.[1]
    : undefined;
}
