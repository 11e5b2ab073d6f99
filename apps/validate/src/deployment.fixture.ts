import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Database } from "@pipeline/db";
import { findFreePort, openTestDatabase } from "@pipeline/db/testing";
import { type OpenAi, startOpenAi } from "@pipeline/mocks";
import { COMPILE_CACHE } from "@pipeline/runtime";
import { expect, vi } from "vitest";
import { healthAnswer } from "./health-answer.ts";

export const JWT_SECRET = "signs-the-tokens-of-the-validated-deployment";
export const WORKER_MAX_RETRIES = 20;
const ROOT = join(import.meta.dirname, "../../..");

/** API and worker in processes of their own, on a database of their own, with an embedding provider that can be disturbed. */
export interface TestDeployment {
  url: string;
  database: Database;
  databaseUrl: string;
  /** Where its files are. */
  objectsDirectory: string;
  openai: OpenAi;
  /** With another schema's name it serves that one. */
  startWorker(schemaName?: string): void;
  stopWorkers(): Promise<void>;
  /** Waits until /health names these parts, and no others, as failing. */
  failing(parts: readonly string[]): Promise<void>;
  close(): Promise<void>;
}

export async function startDeployment(): Promise<TestDeployment> {
  const opened = await openTestDatabase();
  const databaseUrl = opened.url ?? "";
  const dataDirectory = await mkdtemp(join(tmpdir(), "validate-"));
  const openai = await startOpenAi();
  const port = await findFreePort();
  const url = `http://127.0.0.1:${port}`;
  const environment = {
    PATH: "/usr/bin:/bin",
    NODE_COMPILE_CACHE: COMPILE_CACHE,
    DATABASE_URL: databaseUrl,
    DATA_DIR: dataDirectory,
    SERVICE_PORT: String(port),
    SUPABASE_JWT_SECRET: JWT_SECRET,
    OPENAI_BASE_URL: openai.baseUrl,
    OPENAI_API_KEY: "sk-of-the-emulator",
    WORKER_MAX_RETRIES: String(WORKER_MAX_RETRIES),
    LOG_LEVEL: "error",
  };
  const run = (app: string, more: Record<string, string> = {}): ChildProcess =>
    spawn(process.execPath, [join(ROOT, `apps/${app}/src/main.ts`)], {
      env: { ...environment, ...more },
      stdio: ["ignore", "ignore", "inherit"],
    });
  const api = run("api");
  let workers: ChildProcess[] = [];
  const stopWorkers = async (): Promise<void> => {
    // They say goodbye, so that nobody waits until their leases have expired.
    await Promise.all(workers.map((worker) => stop(worker, "SIGTERM")));
    workers = [];
  };
  return {
    url,
    database: opened.database,
    databaseUrl,
    objectsDirectory: join(dataDirectory, "objects"),
    openai,
    startWorker: (schemaName) =>
      void workers.push(run("worker", schemaName === undefined ? {} : { DATABASE_SCHEMA: schemaName })),
    stopWorkers,
    failing: async (parts) => {
      await vi.waitFor(async () => expect(await listFailing(url)).toEqual(parts), { timeout: 120_000, interval: 100 });
    },
    close: async () => {
      await Promise.all([api, ...workers].map((child) => stop(child, "SIGKILL")));
      await openai.close();
      await opened.close();
      await rm(dataDirectory, { recursive: true, force: true });
    },
  };
}

async function listFailing(url: string): Promise<string[] | undefined> {
  const answer = await fetch(`${url}/health`).catch(() => undefined);
  return answer === undefined ? undefined : healthAnswer.parse(await answer.json()).failing.map(({ part }) => part);
}

async function stop(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill(signal);
  await once(child, "exit");
}
