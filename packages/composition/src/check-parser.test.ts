import { type LlamaParse, startLlamaParse } from "@pipeline/mocks";
import { createLogger, parseEnvironment } from "@pipeline/runtime";
import { createDiskStore } from "@pipeline/storage";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createParserCheck } from "./check-parser.ts";
import { selfTest } from "./self-test.ts";

const KEY = "llx-good-0123456789";

let llamaparse: LlamaParse;
beforeEach(async () => {
  llamaparse = await startLlamaParse({ apiKeys: [KEY] });
});
afterEach(() => llamaparse.close());

async function check(variables: Record<string, string> = {}): Promise<void> {
  const configured = { LLAMAPARSE_API_KEY: KEY, LLAMAPARSE_BASE_URL: llamaparse.url, ...variables };
  await createParserCheck(parseEnvironment(configured, "local"))?.();
}

test("the parser of this machine needs no check", () => {
  expect(createParserCheck(parseEnvironment({}, "local"))).toBeUndefined();
});

test("a provider that lists its jobs serves us, and bills nothing", async () => {
  await check();
  expect(llamaparse.stats()).toMatchObject({ jobs: [], billed_credits: 0 });
});

test("a key and an address that are wrong are told apart, without the key", async () => {
  const faults = [
    [{ LLAMAPARSE_API_KEY: "llx-wrong-0123456789" }, "permanent", "llamaparse_unauthorized"],
    [{ LLAMAPARSE_BASE_URL: "http://127.0.0.1:1" }, "transient", "llamaparse_unavailable"],
  ] as const;
  for (const [variables, kind, code] of faults) {
    const fault = await check(variables).catch((error: unknown) => error);
    expect(fault).toMatchObject({ kind, code, message: expect.not.stringContaining("0123456789") });
  }
});

test.each([
  ["rate_limited", 1, "rate_limited", "llamaparse_rate_limited"],
  ["server_error", 3, "transient", "llamaparse_unavailable"],
  ["half_body", 3, "transient", "llamaparse_unavailable"],
] as const)("%s, met %i times in a row, is told of and passes", async (fault, times, kind, code) => {
  llamaparse.failNext(fault, { route: "GET /api/v2/parse", times });
  await expect(check()).rejects.toMatchObject({ kind, code });
  await expect(check()).resolves.toBeUndefined();
});

test("a start ends at a refused key, and goes on without a provider that is away", async () => {
  const lines: string[] = [];
  const log = createLogger({ level: "info", service: "test", stream: { write: (line) => void lines.push(line) } });
  const storage = createDiskStore({ directory: "/nowhere", publicUrl: () => "", secret: "s".repeat(32) });
  const start = (variables: Record<string, string>) => selfTest({ storage, checkParser: () => check(variables) }, log);
  await expect(start({ LLAMAPARSE_API_KEY: "llx-wrong-0123456789" })).rejects.toMatchObject({
    code: "llamaparse_unauthorized",
  });
  await start({ LLAMAPARSE_BASE_URL: "http://127.0.0.1:1" });
  await start({});
  const told = lines.map((line) => /"part":"parser".*"msg":"([^"]+)"/u.exec(line)?.[1]);
  expect(told).toEqual(["self-test failed", "self-test failed", "self-test passed"]);
  expect(lines.join("")).not.toContain("0123456789");
});
