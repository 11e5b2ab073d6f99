import { Writable } from "node:stream";
import { expect, test } from "vitest";
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

test("tokens and links are redacted wherever they are named", () => {
  const line = logged((log) => log.info({ token: "eyJ-abc", signed_url: "http://x/?token=eyJ-abc" }, "oops"));
  expect(line).not.toContain("eyJ-abc");
});
