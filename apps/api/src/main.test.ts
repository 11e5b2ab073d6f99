import { spawn, type ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { hasParallelConnections, openTestDatabase, type TestDatabase, findFreePort } from "@pipeline/db/testing";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { signDevelopmentToken } from "./auth/sign-development-token.ts";

const TOKEN_SECRET = "token secret of the tests, long enough";
const MAIN = join(import.meta.dirname, "main.ts");

interface Started {
  child: ChildProcess;
  /** Exit code, or null when a signal ended it. */
  exited: Promise<number | null>;
  stdout: Promise<string>;
  stderr: Promise<string>;
}

function startMain(variables: Record<string, string>): Started {
  const child = spawn(process.execPath, [MAIN], { env: variables, stdio: ["ignore", "pipe", "pipe"] });
  return {
    child,
    exited: once(child, "exit").then(([code]) => z.number().nullable().parse(code)),
    stdout: text(child.stdout),
    stderr: text(child.stderr),
  };
}

describe("the API's process", () => {
  it("tells every fault of its configuration and ends before anything else", async () => {
    const started = startMain({ ENVIRONMENT: "production", SERVICE_PORT: "eighty", RAG_TOKEN_BUGDET: "1" });
    expect(await started.exited).toBe(1);
    const faults = await started.stderr;
    for (const name of ["SERVICE_PORT", "RAG_TOKEN_BUGDET", "DATABASE_URL", "SUPABASE_JWT_SECRET"]) {
      expect(faults).toContain(name);
    }
    expect(await started.stdout).toBe("");
  });

  it("ends with 0 on SIGTERM while its database is away, before it serves too", async () => {
    const { child, exited, stderr } = startMain({
      DATABASE_URL: "postgres://u:p@127.0.0.1:1/nowhere",
      SUPABASE_JWT_SECRET: TOKEN_SECRET,
      SERVICE_PORT: String(await findFreePort()),
    });
    await new Promise<void>((resolve) => {
      child.stdout?.on("data", (chunk) => {
        if (String(chunk).includes("database away at the start")) resolve();
      });
    });
    child.kill("SIGTERM");
    expect(await exited).toBe(0);
    expect(await stderr).toBe("");
  });
});

// A process of its own needs a server to connect to; the embedded database lives in this one.
describe.skipIf(!hasParallelConnections())("the API's process on a database", () => {
  let opened: TestDatabase;
  let directory: string;
  beforeAll(async () => {
    opened = await openTestDatabase();
    directory = await mkdtemp(join(tmpdir(), "api-main-"));
  });
  afterAll(async () => {
    await opened.close();
    await rm(directory, { recursive: true });
  });

  async function startServing(variables: Record<string, string> = {}) {
    const port = String(await findFreePort());
    const started = startMain({
      ENVIRONMENT: "test",
      DATABASE_URL: opened.url ?? "",
      DATA_DIR: directory,
      SUPABASE_JWT_SECRET: TOKEN_SECRET,
      SERVICE_PORT: port,
      ...variables,
    });
    return { ...started, url: `http://127.0.0.1:${port}` };
  }

  it("serves until SIGTERM, and then closes everything and ends with 0", async () => {
    const { child, exited, stdout, url } = await startServing();
    expect((await waitForAnswer(url)).status).toBe(200);
    const token = await signDevelopmentToken({ secret: TOKEN_SECRET, userId: randomUUID(), expiresInSeconds: 60 });
    const headers = { authorization: `Bearer ${token}` };
    // On a machine that does much else the first connection can take longer than the API waits for one.
    await vi.waitFor(async () => {
      expect((await fetch(`${url}/api/upload-pipeline/documents`, { headers })).status).toBe(200);
    }, 30_000);
    child.kill("SIGTERM");
    expect(await exited).toBe(0);
    const lines = (await stdout).trim().split("\n");
    const messages = lines.map((line) => z.looseObject({ msg: z.string() }).parse(JSON.parse(line)));
    expect(messages.filter(({ msg }) => msg !== "request" && msg !== "watch begins")).toMatchObject([
      { msg: "listening", host: "127.0.0.1", port: Number(new URL(url).port) },
      { msg: "closing", signal: "SIGTERM" },
      { msg: "closed" },
    ]);
  });

  it("ends at once on a second signal, even with a request in hand", async () => {
    const { child, exited, stdout, url } = await startServing();
    await waitForAnswer(url);
    const { hostname, port } = new URL(url);
    const open = connect(Number(port), hostname);
    open.on("error", () => undefined);
    const token = await signDevelopmentToken({ secret: TOKEN_SECRET, userId: randomUUID(), expiresInSeconds: 60 });
    const headers = `host: x\r\nauthorization: Bearer ${token}\r\ncontent-length: 9\r\nexpect: 100-continue`;
    open.write(`POST /api/upload-pipeline/search HTTP/1.1\r\n${headers}\r\n\r\n`);
    // The answer tells that the request is in hand, waiting for its body.
    expect(String(await once(open, "data"))).toContain("100 Continue");
    child.kill("SIGTERM");
    await vi.waitFor(() => expect(fetch(`${url}/health/live`)).rejects.toThrow("fetch failed"), 10_000);
    child.kill("SIGTERM");
    expect(await exited).toBe(1);
    expect(await stdout).not.toMatch(/closed|not closed in time|closing failed/);
    open.destroy();
  });

  it("refuses a schema that it was not written for", async () => {
    const { exited, stdout } = await startServing({ DATABASE_SCHEMA: "nothing_here" });
    expect(await exited).toBe(1);
    expect(await stdout).toContain('"code":"schema_missing"');
  });

  it("does not start with a login that the database refuses, and says so", async () => {
    const url = new URL(opened.url ?? "");
    url.password = "another password";
    const { exited, stderr } = await startServing({ DATABASE_URL: url.toString() });
    expect(await exited).toBe(1);
    expect(await stderr).toBe(
      "The API did not start. database_login_refused: The database refuses this user or password.\n",
    );
  });

  it("ends with 1 when its port is taken", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = z.object({ port: z.number() }).parse(taken.address());
    const { exited, stdout } = await startServing({ SERVICE_PORT: String(port) });
    expect(await exited).toBe(1);
    expect(await stdout).toContain("EADDRINUSE");
    taken.close();
  });
});

function waitForAnswer(url: string): Promise<Response> {
  return vi.waitFor(() => fetch(`${url}/health/live`), { timeout: 20_000, interval: 50 });
}
