import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { COMPILE_CACHE } from "@pipeline/runtime";
import { z } from "zod";

const ROOT = join(import.meta.dirname, "../../..");
const MAIN = join(ROOT, "apps/worker/src/main.ts");
const ENVIRONMENT = { PATH: "/usr/bin:/bin", NODE_COMPILE_CACHE: COMPILE_CACHE };

export interface WorkerProcess {
  pid: number;
  child: ChildProcess;
  spawnedAt: Date;
  /** It has logged that it works. */
  isReady: boolean;
  /** Why this run ended it; undefined while it lives, and when it ended by itself. */
  ending: "killed" | "stopping" | undefined;
  /** What it logged last at level fatal: an error's code or class. */
  fatal: string | undefined;
  /** Stopped or cut off by a fault: no other fault hits it meanwhile. */
  isImpaired: boolean;
  exited: Promise<WorkerExit>;
}

export interface WorkerExit {
  code: number | null;
  signal: string | null;
  /** The last of what it printed on standard error. */
  stderr: string;
}

const lineSchema = z.looseObject({
  level: z.string(),
  msg: z.string(),
  outcome: z.string().optional(),
  err: z.looseObject({ code: z.string().optional(), type: z.string().optional() }).optional(),
});
export type LogLine = z.infer<typeof lineSchema>;

/**
 * Keeps what Node compiles of a worker, as the image does: without a configuration one loads all of its code and ends.
 * Killed processes keep nothing, and their successors would take the machine from those that work.
 */
export async function compileWorker(): Promise<void> {
  await once(spawn(process.execPath, [MAIN], { cwd: ROOT, env: ENVIRONMENT, stdio: "ignore" }), "exit");
}

/** A worker as an operator starts it, leader of a process group of its own, so that its parsers can be found. */
export function startWorkerProcess(
  env: Record<string, string>,
  { onLine, keep }: { onLine: (line: LogLine) => void; keep: (text: string) => void },
): WorkerProcess {
  const child = spawn(process.execPath, [MAIN], {
    cwd: ROOT,
    env: { ...ENVIRONMENT, ...env },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  if (child.pid === undefined) throw new Error("The worker process did not start.");
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr = (stderr + text).slice(-2_000);
  });
  const worker: WorkerProcess = {
    pid: child.pid,
    child,
    spawnedAt: new Date(),
    isReady: false,
    ending: undefined,
    fatal: undefined,
    isImpaired: false,
    exited: once(child, "exit").then(([code, signal]: unknown[]) => ({
      code: typeof code === "number" ? code : null,
      signal: typeof signal === "string" ? signal : null,
      stderr,
    })),
  };
  createInterface({ input: child.stdout }).on("line", (text) => {
    keep(`${worker.pid} ${text}`);
    const line = parseLine(text);
    if (line === undefined) return;
    if (line.msg === "worker started") worker.isReady = true;
    if (line.level === "fatal") worker.fatal = line.err?.code ?? line.err?.type ?? "unknown";
    onLine(line);
  });
  return worker;
}

/** Undefined: not a whole line of the log, as a killed process leaves it. */
function parseLine(text: string): LogLine | undefined {
  try {
    return lineSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
