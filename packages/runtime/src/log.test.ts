import { spawn } from "node:child_process";
import { once } from "node:events";
import { Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { z } from "zod";
import { AppError } from "./errors.ts";
import { createLogger } from "./log.ts";

function logged(write: (log: ReturnType<typeof createLogger>) => void): string {
  const lines: string[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      lines.push(chunk.toString());
      done();
    },
  });
  write(createLogger({ level: "trace", service: "test", stream }));
  return lines.join("");
}

test("our own errors are logged with code and message", () => {
  const line = logged((log) =>
    log.error({ err: new AppError({ kind: "transient", code: "busy", message: "Try later." }) }, "failed"),
  );
  expect(JSON.parse(line)).toMatchObject({
    level: "error",
    service: "test",
    msg: "failed",
    err: { code: "busy", message: "Try later." },
  });
});

test("what a foreign error quotes is not logged, neither directly nor as a cause", () => {
  const foreign = Object.assign(new Error("Failing row contains (Jane Doe, policy 123)"), {
    code: "23514",
    constraint: "documents_status",
    detail: "Failing row contains (Jane Doe)",
  });
  const line = logged((log) => {
    log.error({ err: foreign }, "direct");
    log.error({ err: new AppError({ kind: "internal", code: "x", message: "m", cause: foreign }) }, "as a cause");
  });
  expect(line).not.toContain("Jane");
  expect(line).toContain("documents_status");
});

test("a privilege that the database withholds is named", () => {
  const refusal = Object.assign(new Error("permission denied for table document_chunks"), { code: "42501" });
  const line = logged((log) =>
    log.error({ err: new AppError({ kind: "transient", code: "x", message: "m", cause: refusal }) }, "refused"),
  );
  expect(line).toContain("permission denied for table document_chunks");
});

test("tokens and links are redacted wherever they are named", () => {
  const line = logged((log) => log.info({ token: "eyJ-abc", signed_url: "http://x/?token=eyJ-abc" }, "oops"));
  expect(line).not.toContain("eyJ-abc");
});

/** Runs in a process of its own, whose standard output is the log. */
function startLogging(script: string) {
  const source = `import { createLogger } from "${new URL("log.ts", import.meta.url).href}";
    const log = createLogger({ level: "info", service: "test" });
    ${script}`;
  return spawn(process.execPath, ["--input-type=module-typescript", "--eval", source], {
    stdio: ["ignore", "pipe", "ignore"],
  });
}

const logLine = z.object({ msg: z.string() });

const messagesOf = (lines: string): unknown[] =>
  lines
    .trim()
    .split("\n")
    .map((line) => logLine.parse(JSON.parse(line)).msg);

test.each([
  ["at the end of the process", 'log.info("one"); log.info("two"); process.exit(3);', 3],
  ["before it dies of an error", 'log.info("one"); log.info("two"); throw new Error("unexpected");', 1],
  ["behind a fatal one", 'log.info("one"); log.fatal("two"); process.kill(process.pid, "SIGKILL");', null],
])("lines that wait are written %s", async (_when, script, code) => {
  const child = startLogging(script);
  const [lines, [exit]] = await Promise.all([text(child.stdout), once(child, "exit")]);
  expect({ messages: messagesOf(lines), exit }).toEqual({ messages: ["one", "two"], exit: code });
});

test.each([
  ["a line arrives by itself", 'log.info("one");', ["one"]],
  ["one that warns takes those before it along", 'log.info("one"); log.warn("two"); for (;;);', ["one", "two"]],
  [
    "several that warn at once all arrive",
    'log.warn("one"); log.warn("two"); log.warn("three");',
    ["one", "two", "three"],
  ],
])("%s, while the process goes on", async (_what, script, expected) => {
  const child = startLogging(`${script} setInterval(() => undefined, 1_000);`);
  let lines = "";
  child.stdout.on("data", (chunk: Buffer) => void (lines += chunk.toString()));
  try {
    await expect.poll(() => (lines === "" ? [] : messagesOf(lines)), { timeout: 30_000 }).toEqual(expected);
  } finally {
    child.kill("SIGKILL");
  }
});
