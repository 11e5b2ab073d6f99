import { readdir, readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { z } from "zod";

/** What this needs of a report of vitest's JSON reporter. */
const reportSchema = z.object({
  numPassedTests: z.number(),
  numFailedTests: z.number(),
  numPendingTests: z.number(),
  numTodoTests: z.number(),
  testResults: z.array(
    z.object({
      name: z.string(),
      status: z.string(),
      message: z.string().default(""),
      assertionResults: z.array(
        z.object({ fullName: z.string(), status: z.string(), failureMessages: z.array(z.string()).nullish() }),
      ),
    }),
  ),
});

/** Enough to see why; the whole is in the run's own output. */
const MESSAGE_LENGTH = 700;

/** Adds up vitest's JSON reports in a directory, says what failed, prints the sum as the last line, fails when anything failed. */
const directory = process.argv[2] ?? "reports";
const names = await readdir(directory);
const sum = { passed: 0, failed: 0, skipped: 0 };
for (const name of names.filter((candidate) => candidate.endsWith(".json"))) {
  const report = reportSchema.parse(JSON.parse(await readFile(join(directory, name), "utf8")));
  const failures = listFailures(report);
  sum.passed += report.numPassedTests;
  sum.failed += failures.length;
  sum.skipped += report.numPendingTests + report.numTodoTests;
  for (const { title, message } of failures) process.stdout.write(`FAILED (${name}) ${title}\n${shorten(message)}\n\n`);
}
if (names.includes("failed") && sum.failed === 0) sum.failed = 1;
process.stdout.write(`${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped\n`);
process.exitCode = sum.failed > 0 || sum.passed === 0 ? 1 : 0;

function listFailures({ testResults }: z.infer<typeof reportSchema>): { title: string; message: string }[] {
  return testResults.flatMap(({ name, status, message, assertionResults }) => {
    const path = relative(process.cwd(), name);
    const failed = assertionResults.filter((result) => result.status === "failed");
    // A file that could not even be loaded, or whose preparation failed, counts as one.
    if (status === "failed" && failed.length === 0) return [{ title: path, message }];
    return failed.map((test) => ({
      title: `${path} > ${test.fullName}`,
      message: test.failureMessages?.join("\n") ?? "",
    }));
  });
}

function shorten(message: string): string {
  const plain = stripVTControlCharacters(message);
  return plain.length > MESSAGE_LENGTH ? `${plain.slice(0, MESSAGE_LENGTH)} …` : plain;
}
