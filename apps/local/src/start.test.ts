import { randomUUID } from "node:crypto";
import { access, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { signDevelopmentToken } from "@pipeline/api";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { createClient } from "./client.ts";
import { ingestFile } from "./ingest.ts";
import { createProgressLines } from "./progress-lines.ts";
import { findFreePort } from "@pipeline/db/testing";
import { killStarted, ROOT, startCommand, type Command } from "./spawn.fixture.ts";

let directory: string;
let env: Record<string, string>;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "start-test-"));
  env = { DATA_DIR: directory, SERVICE_PORT: String(await findFreePort()), LOG_LEVEL: "warn" };
});

afterEach(() => {
  killStarted();
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

interface Started {
  command: Command;
  url: string;
  token: string;
}

async function start(): Promise<Started> {
  const command = startCommand("apps/local/src/start.ts", { env });
  const url = await command.printed(/API +(http\S+)/);
  const token = await command.printed(/^(eyJ\S+)$/m);
  return { command, url, token };
}

const SAMPLE = join(ROOT, "samples/renewal-letter.md");
const silent = createProgressLines([], { write: () => undefined });

async function listFilenames({ url, token }: Started): Promise<string> {
  const headers = { authorization: `Bearer ${token}` };
  return (await fetch(`${url}/api/upload-pipeline/documents`, { headers })).text();
}

test("a stack that is stopped with Ctrl-C, or killed, has its documents at the next start", async () => {
  const first = await start();
  expect(await ingestFile(createClient(first), SAMPLE, silent)).toMatchObject({ complete: true });
  first.command.child.kill("SIGINT");
  expect(await first.command.ended, first.command.output()).toBe(0);
  expect(first.command.output()).toContain("Stopped.");

  const second = await start();
  expect(await listFilenames(second)).toContain("renewal-letter.md");
  const [passage] = await createClient(second).search("How much is a monthly instalment?");
  expect(passage?.filename).toBe("renewal-letter.md");
  second.command.child.kill("SIGKILL");
  await second.command.ended;

  const third = await start();
  expect(await listFilenames(third)).toContain("renewal-letter.md");
  third.command.child.kill("SIGINT");
  expect(await third.command.ended, third.command.output()).toBe(0);
});

test("a second start on the same data refuses, and leaves the first alone", async () => {
  const first = await start();
  const second = startCommand("apps/local/src/start.ts", { env });
  expect(await second.ended).toBe(1);
  expect(second.output()).toContain("data_directory_in_use");
  expect((await fetch(`${first.url}/health/live`)).status).toBe(200);
});

test("a taken port is named", async () => {
  const first = await start();
  const elsewhere = { ...env, DATA_DIR: join(directory, "elsewhere") };
  const second = startCommand("apps/local/src/start.ts", { env: elsewhere });
  expect(await second.ended).toBe(1);
  expect(second.output()).toMatch(/Port \d+ is taken/);
  expect((await fetch(`${first.url}/health/live`)).status).toBe(200);
});

const statsOf = async (base: string): Promise<unknown> => (await fetch(`${base}/__emulator/stats`)).json();

test("with --mocks a document goes through emulators of every service, and nothing is kept", async () => {
  const kept = { ...env, DATA_DIR: join(directory, "unused") };
  const command = startCommand("apps/local/src/start.ts", { args: ["--mocks", "0"], env: kept });
  const url = await command.printed(/API +(http\S+)/);
  const llamaparse = await command.printed(/LlamaParse +(http\S+),/);
  const openai = await command.printed(/OpenAI +(http\S+)\/v1,/);
  const client = createClient({ url, token: await command.printed(/^(eyJ\S+)$/m) });
  expect(await ingestFile(client, SAMPLE, silent)).toMatchObject({ complete: true });
  expect(await statsOf(llamaparse)).toMatchObject({ jobs: [{ status: "SUCCESS" }], paid_again_count: 0 });
  expect(await statsOf(openai)).toMatchObject({
    paid_again_count: 0,
    inputs: expect.arrayContaining([expect.anything()]),
  });
  command.child.kill("SIGINT");
  expect(await command.ended, command.output()).toBe(0);
  expect(command.output()).toContain("Nothing was kept.");
  await expect(access(kept.DATA_DIR)).rejects.toMatchObject({ code: "ENOENT" });
}, 180_000);

test("with --mocks tokens of the emulated project alone are taken, which dev-token makes", async () => {
  const command = startCommand("apps/local/src/start.ts", { args: ["--mocks", "0"], env });
  const url = await command.printed(/API +(http\S+)/);
  const project = {
    SUPABASE_URL: await command.printed(/SUPABASE_URL=(\S+) /),
    SUPABASE_JWT_SECRET: await command.printed(/SUPABASE_JWT_SECRET=(\S+) /),
    SUPABASE_SERVICE_ROLE_KEY: await command.printed(/SUPABASE_SERVICE_ROLE_KEY=(\S+) /),
  };
  const statusWith = async (token: string): Promise<number> => {
    const headers = { authorization: `Bearer ${token}` };
    return (await fetch(`${url}/api/upload-pipeline/documents`, { headers })).status;
  };
  const sign = (issuer?: string): Promise<string> =>
    signDevelopmentToken({
      secret: project.SUPABASE_JWT_SECRET,
      userId: randomUUID(),
      expiresInSeconds: 60,
      ...(issuer === undefined ? {} : { issuer }),
    });
  const made = startCommand("apps/api/src/token.ts", { env: { ...env, ...project } });
  expect(await statusWith(await made.printed(/^(eyJ\S+)$/m))).toBe(200);
  expect(await statusWith(await sign(`${project.SUPABASE_URL}/auth/v1`))).toBe(200);
  expect(await statusWith(await sign("http://evil.example.test/auth/v1"))).toBe(401);
  expect(await statusWith(await sign())).toBe(401);
}, 180_000);

test.for(["staging", "production"])("%s refuses the emulators", async (environment) => {
  const refused = startCommand("apps/local/src/start.ts", {
    args: ["--mocks", "0"],
    env: { ...env, ENVIRONMENT: environment },
  });
  expect(await refused.ended).toBe(1);
  expect(refused.output()).toContain("ENVIRONMENT must be development or test");
  expect(refused.output()).not.toContain("http://");
});

test("staging refuses the local stack before anything listens", async () => {
  const refused = startCommand("apps/local/src/start.ts", { env: { ...env, ENVIRONMENT: "staging" } });
  expect(await refused.ended).toBe(1);
  expect(refused.output()).toContain("ENVIRONMENT must be development or test");
});
