import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { findFreePort } from "@pipeline/db/find-free-port";
import { memoryReport, type MemoryReport } from "./messages.ts";

const API = join(import.meta.dirname, "../../../api/src/main.ts");
const REPORT_MEMORY = new URL("report-memory.ts", import.meta.url);
export const TOKEN_SECRET = "secret of the benchmark's tokens, long enough";

/** The API as it is deployed, in a process of its own. */
export interface ApiProcess {
  url: string;
  /** After a full collection. */
  readMemory: () => Promise<MemoryReport>;
  stop: () => Promise<void>;
}

/** No limit may stop the load: what is measured is the work, the counting included. */
const NO_LIMITS = {
  LIMIT_UPLOADS_IN_FLIGHT: "1000000",
  LIMIT_UPLOADS_PER_DAY: "1000000",
  LIMIT_REQUESTS_PER_MINUTE: "1000000",
  LIMIT_REQUESTS_PER_MINUTE_PER_ADDRESS: "10000000",
};

export async function startApi(options: { url: string; directory: string; poolSize: number }): Promise<ApiProcess> {
  const port = await findFreePort();
  const child = fork(API, {
    env: {
      ENVIRONMENT: "development",
      DATABASE_URL: options.url,
      DATABASE_POOL_SIZE: String(options.poolSize),
      DATA_DIR: options.directory,
      SERVICE_HOST: "127.0.0.1",
      SERVICE_PORT: String(port),
      SUPABASE_JWT_SECRET: TOKEN_SECRET,
      ...NO_LIMITS,
    },
    execArgv: ["--expose-gc", "--import", REPORT_MEMORY.href],
    // Its log is written, as in earnest, and goes nowhere.
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  const url = `http://127.0.0.1:${port}`;
  try {
    await waitUntilLive(url, child);
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  }
  return {
    url,
    readMemory: async () => {
      const answered = once(child, "message");
      child.send("memory");
      return memoryReport.parse((await answered)[0]);
    },
    stop: async () => {
      if (child.exitCode !== null) return;
      const exited = once(child, "exit");
      child.kill("SIGTERM");
      await exited;
    },
  };
}

const START_LIMIT_MS = 60_000;

async function waitUntilLive(url: string, child: ChildProcess): Promise<void> {
  const until = performance.now() + START_LIMIT_MS;
  while (performance.now() < until) {
    if (child.exitCode !== null) throw new Error(`The API ended with ${child.exitCode}.`);
    const answer = await fetch(`${url}/health/live`).catch(() => undefined);
    await answer?.body?.cancel();
    if (answer?.ok === true) return;
    await delay(100);
  }
  throw new Error("The API did not start in time.");
}
