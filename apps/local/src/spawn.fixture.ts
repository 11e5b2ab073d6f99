import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { COMPILE_CACHE } from "@pipeline/runtime";
import { expect } from "vitest";

export const ROOT = join(import.meta.dirname, "../../..");

/** A command of this project in a process of its own, as a person would start it. */
export interface Command {
  child: ChildProcess;
  /** What it has printed so far, both streams. */
  output(): string;
  /** Waits until it has printed what matches, and answers the first group. */
  printed(pattern: RegExp): Promise<string>;
  /** Its exit code, null when a signal ended it. */
  ended: Promise<number | null>;
}

const started = new Set<ChildProcess>();

/** `script` is relative to the project; nothing of the tests' own environment but PATH is passed on. */
export function startCommand(script: string, options: { args?: string[]; env?: Record<string, string> } = {}): Command {
  const child = spawn(process.execPath, [join(ROOT, script), ...(options.args ?? [])], {
    cwd: ROOT,
    env: { PATH: "/usr/bin:/bin", NODE_COMPILE_CACHE: COMPILE_CACHE, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  started.add(child);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  // "close" comes after the last output, "exit" may come before it.
  const ended = once(child, "close").then(([code]: unknown[]) => {
    started.delete(child);
    return typeof code === "number" ? code : null;
  });
  return {
    child,
    output: () => output,
    printed: async (pattern) => {
      await expect.poll(() => output, { timeout: 120_000, interval: 50 }).toMatch(pattern);
      return pattern.exec(output)?.[1] ?? "";
    },
    ended,
  };
}

/** Ends whatever a failed test left running. */
export function killStarted(): void {
  for (const child of started) child.kill("SIGKILL");
}
