import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { z } from "zod";

const RUNTIME = new URL("index.ts", import.meta.url).href;

/** A process whose service starts as the code says; `signal` is sent once it has said that it serves. */
async function run(start: string, signal?: NodeJS.Signals) {
  const code = `
    import { createLogger, runService } from ${JSON.stringify(RUNTIME)};
    const log = createLogger({ level: "info", service: "test" });
    const serve = () => {
      setInterval(() => undefined, 1_000);
      log.info("serving");
    };
    await runService({ name: "test", log, closeWithinMs: 200, start: ${start} });`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", code], { stdio: ["ignore", "pipe", "pipe"] });
  if (signal !== undefined) {
    child.stdout.once("data", () => child.kill(signal));
  }
  const [[exitCode], stdout, stderr] = await Promise.all([once(child, "exit"), text(child.stdout), text(child.stderr)]);
  // What is written in the last moment of a process can overtake what was under way.
  const messages = new Set([...stdout.matchAll(/"msg":"([^"]+)"/g)].map(([, message]) => message));
  return { exitCode: z.number().nullable().parse(exitCode), messages, stderr };
}

test.each(["SIGTERM", "SIGINT"] as const)("%s closes what was told, and ends with 0", async (signal) => {
  const start = `async (closeWith) => { closeWith(async () => log.info("one part")); serve(); }`;
  expect(await run(start, signal)).toEqual({
    exitCode: 0,
    messages: new Set(["serving", "closing", "one part", "closed"]),
    stderr: "",
  });
});

test("a signal in the middle of the start ends with 0", async () => {
  const start = "async () => { serve(); await new Promise(() => undefined); }";
  expect(await run(start, "SIGTERM")).toMatchObject({
    exitCode: 0,
    messages: new Set(["serving", "closing", "closed"]),
  });
});

test.each([
  ["that hangs", "() => new Promise(() => undefined)", "not closed in time"],
  ["that fails", "() => Promise.reject(new Error('no'))", "closing failed"],
])("a closing %s ends with 1", async (_what, close, message) => {
  const start = `async (closeWith) => { closeWith(${close}); serve(); }`;
  expect(await run(start, "SIGTERM")).toMatchObject({
    exitCode: 1,
    messages: new Set(["serving", "closing", message]),
  });
});

test("a start that fails ends with 1 and says why", async () => {
  const { exitCode, messages, stderr } = await run("async () => { throw new Error('secret'); }");
  expect({ exitCode, messages }).toEqual({ exitCode: 1, messages: new Set(["did not start"]) });
  expect(stderr).toBe("The test did not start. internal_error: An unexpected error occurred (Error).\n");
});

test.each([
  ["uncaughtException", "setTimeout(() => { throw new Error('no'); })"],
  ["unhandledRejection", "void Promise.reject(new Error('no'))"],
])("an error that nobody caught ends with 1: %s", async (event, fail) => {
  const { exitCode, messages } = await run(`async () => { serve(); ${fail}; }`);
  expect({ exitCode, messages }).toEqual({ exitCode: 1, messages: new Set(["serving", event]) });
});
