import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import { AppError } from "@pipeline/runtime";
import { watchMemory } from "./memory-watch.ts";
import { parseAborted, parseMemoryLimit, parserCrashed, parseTimeout } from "./parse-errors.ts";
import type { ParseLimits } from "./parse-limits.ts";
import { childMessageSchema } from "./parse-messages.ts";
import type { ChildMessage, ParseRequest } from "./parse-messages.ts";

export interface ChildTask<T extends object> {
  request: Omit<ParseRequest, "parent_pid">;
  /** Aborting kills the child and ends the call with a transient `aborted`; the signal's reason is its cause. */
  signal: AbortSignal | undefined;
  /** What the child said; answers the outcome with the message that completes it. What it throws ends the task. */
  receive: (message: Exclude<ChildMessage, { type: "failed" }>) => T | undefined;
}

/**
 * Does one thing with one document in a process of its own, so that whatever the file does ends there: V8's heap, the
 * resident memory and the wall clock are limited, the environment is empty, files can be read but not
 * written, and no other process can be started. When this returns or throws, that process is gone.
 */
export async function runInChild<T extends object>(task: ChildTask<T>): Promise<T> {
  if (task.signal?.aborted === true) throw parseAborted(task.signal.reason);
  return superviseChild(startChild(task.request.limits), task);
}

const CHILD_ENTRY = fileURLToPath(new URL("parse-child.ts", import.meta.url));

function startChild(limits: ParseLimits): ChildProcess {
  return fork(CHILD_ENTRY, [], {
    execPath: process.execPath,
    execArgv: [
      `--max-old-space-size=${limits.heapMb}`,
      // Reading is all a parser needs; the watchdog is a worker thread.
      "--permission",
      "--allow-fs-read=*",
      "--allow-worker",
    ],
    env: {},
    // stderr may quote the document, so nobody gets it.
    stdio: ["ignore", "ignore", "ignore", "ipc"],
    serialization: "advanced",
  });
}

type Outcome<T> = { result: T } | { error: unknown };

/** Settles once, with the first decisive thing that happens, and only after the child has gone. */
function superviseChild<T extends object>(child: ChildProcess, task: ChildTask<T>): Promise<T> {
  const { signal } = task;
  const { limits } = task.request;
  return new Promise((resolve, reject) => {
    let outcome: Outcome<T> | undefined;
    const decide = (decided: Outcome<T>): void => {
      outcome ??= decided;
      child.kill("SIGKILL");
    };
    const onAbort = (): void => decide({ error: parseAborted(signal?.reason) });
    const timer = setTimeout(() => decide({ error: parseTimeout(limits.timeoutMs) }), limits.timeoutMs);
    const stopWatching = watchMemory({
      pid: child.pid,
      limitMb: limits.rssMb,
      onExceeded: () => decide({ error: parseMemoryLimit() }),
    });
    const finish = (decided: Outcome<T>): void => {
      clearTimeout(timer);
      stopWatching();
      signal?.removeEventListener("abort", onAbort);
      if ("result" in decided) resolve(decided.result);
      else reject(decided.error);
    };

    signal?.addEventListener("abort", onAbort, { once: true });
    child.on("message", (raw) => {
      if (outcome !== undefined) return;
      const decided = receive(raw, task);
      if (decided !== undefined) decide(decided);
    });
    child.once("error", (error) => {
      if (child.pid === undefined) finish({ error: parserCrashed(error) });
      else decide({ error: parserCrashed(error) });
    });
    // Not "exit": messages may still be in the pipe then.
    child.once("close", (code, killedBy) => finish(outcome ?? { error: explainExit(code, killedBy) }));
    child.send({ ...task.request, parent_pid: process.pid } satisfies ParseRequest, (error) => {
      if (error !== null) decide({ error: parserCrashed(error) });
    });
  });
}

function receive<T extends object>(raw: unknown, task: ChildTask<T>): Outcome<T> | undefined {
  try {
    const message = childMessageSchema.parse(raw);
    if (message.type === "failed") return { error: failureOf(message) };
    const result = task.receive(message);
    return result === undefined ? undefined : { result };
  } catch (error) {
    return { error: error instanceof AppError ? error : parserCrashed(error) };
  }
}

function failureOf({ kind, code, message, details }: Extract<ChildMessage, { type: "failed" }>): AppError {
  return new AppError({ kind, code, message, ...(details === undefined ? {} : { details }) });
}

/** V8 ends a process that is out of heap by abort or trap; on some platforms that shows as exit code 134 or 133. */
function explainExit(code: number | null, signal: NodeJS.Signals | null): AppError {
  if (signal === "SIGABRT" || signal === "SIGTRAP" || signal === "SIGILL" || code === 134 || code === 133)
    return parseMemoryLimit();
  return parserCrashed(new Error(`The parser ended with code ${code} and signal ${signal}.`));
}
