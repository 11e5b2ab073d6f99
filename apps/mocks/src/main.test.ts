import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { parseEnvironment } from "@pipeline/runtime";
import { afterEach, expect, test } from "vitest";
import { startOpenAi } from "./openai/start-openai.ts";

const MAIN = join(import.meta.dirname, "main.ts");
const running = new Set<ChildProcess>();
afterEach(() => {
  for (const child of running) child.kill("SIGKILL");
});

interface Mocks {
  child: ChildProcess;
  output: () => string;
  ended: Promise<unknown>;
}

function mocks(args: string[] = [], env: Record<string, string> = {}): Mocks {
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: { PATH: "/usr/bin:/bin", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  running.add(child);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  const ended = once(child, "close").then(([code]: unknown[]) => {
    running.delete(child);
    return code;
  });
  return { child, output: () => output, ended };
}

const ANY_PORTS = ["--llamaparse-port", "0", "--openai-port", "0", "--supabase-port", "0"];

async function printed({ output }: Mocks, pattern: RegExp): Promise<string> {
  await expect.poll(output, { timeout: 30_000 }).toMatch(pattern);
  return pattern.exec(output())?.[1] ?? "";
}

test("serves its services with the faults of its flags, until Ctrl-C", async () => {
  const command = mocks([...ANY_PORTS, "--rate-limits", "1", "--webhook-host", "api", "--webhook-host", "other"]);
  const llamaparse = await printed(command, /LlamaParse +(http:\/\/127\.0\.0\.1:\d+) /);
  const openai = await printed(command, /OpenAI +(http:\/\/127\.0\.0\.1:\d+\/v1) /);
  const limited = await fetch(`${openai}/models`, { headers: { authorization: "Bearer sk-local" } });
  expect(limited.status).toBe(429);
  const extensions = `${llamaparse}/api/v1/parsing/supported_file_extensions`;
  expect((await fetch(extensions, { headers: { authorization: "Bearer llx-local" } })).status).toBe(429);
  expect((await fetch(`${llamaparse}/__emulator/stats`)).status).toBe(200);
  const supabase = await printed(command, /Supabase +(http:\/\/127\.0\.0\.1:\d+) /);
  const key = await printed(command, /SUPABASE_SERVICE_ROLE_KEY=(\S+)/);
  const buckets = await fetch(`${supabase}/storage/v1/bucket/uploads`, { headers: { authorization: `Bearer ${key}` } });
  expect(await buckets.text()).toContain("SlowDown");
  command.child.kill("SIGINT");
  expect(await command.ended, command.output()).toBe(0);
  expect(command.output()).toContain("Stopped.");
});

test("a taken port is named, and nothing is left running", async () => {
  const taken = await startOpenAi();
  const { port } = new URL(taken.url);
  const command = mocks(["--llamaparse-port", "0", "--openai-port", port]);
  expect(await command.ended).toBe(1);
  expect(command.output()).toContain(`port_in_use: Port ${port} is taken`);
  await taken.close();
});

test.for(["staging", "production"])("is refused where ENVIRONMENT is %s", async (environment) => {
  const command = mocks(ANY_PORTS, { ENVIRONMENT: environment });
  expect(await command.ended).toBe(1);
  expect(command.output()).toContain("emulators are refused here");
  expect(command.output()).not.toContain("http://");
});

test("the keys that it prints are a configuration that the services take", async () => {
  const command = mocks(ANY_PORTS);
  await printed(command, /(Ctrl-C)/);
  const names = ["SUPABASE_URL", "SUPABASE_JWT_SECRET", "SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_ANON_KEY"];
  const variables = await Promise.all(
    names.map(async (name) => [name, await printed(command, new RegExp(`${name}=(\\S+)`))] as const),
  );
  expect(parseEnvironment(Object.fromEntries(variables), "local")).toMatchObject({ ENVIRONMENT: "development" });
});

test("a flag that cannot be is refused by name", async () => {
  const command = mocks([...ANY_PORTS, "--timeouts", "2"]);
  expect(await command.ended).toBe(1);
  expect(command.output()).toContain("--timeouts: ");
});

test("--help names every flag", async () => {
  const command = mocks(["--help"]);
  expect(await command.ended).toBe(0);
  for (const flag of [
    "--llamaparse-port",
    "--openai-port",
    "--supabase-port",
    "--seed",
    "--half-bodies",
    "--forged-callbacks",
  ]) {
    expect(command.output()).toContain(flag);
  }
});
