import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import type { z } from "zod";

/** A process of the benchmark's own, which answers over its channel. */
export interface Child {
  /** The next message of this shape, in the order in which they were sent. */
  receive<T>(message: z.ZodType<T>): Promise<T>;
  /** Lets a process go on that waits for it. */
  go(): void;
  /** Resolves when the process is gone, which it is after `limitMs` at the latest. Throws if it failed. */
  ended(limitMs: number): Promise<void>;
  kill(): void;
}

/** Runs a file of ours with one JSON argument. */
export function startChild(file: URL, input: unknown): Child {
  const child = fork(file, [JSON.stringify(input)], { execArgv: [] });
  const exited = once(child, "exit");
  const messages = createInbox(child);
  return {
    receive: async (message) => message.parse(await messages.next()),
    go: () => child.send("go"),
    ended: async (limitMs) => {
      const timer = setTimeout(() => child.kill("SIGKILL"), limitMs);
      await exited;
      clearTimeout(timer);
      if (child.exitCode !== null && child.exitCode !== 0)
        throw new Error(`${file.pathname} ended with ${child.exitCode}.`);
    },
    kill: () => child.kill("SIGKILL"),
  };
}

/** Messages may come before anybody asks for them. */
function createInbox(child: ChildProcess): { next: () => Promise<unknown> } {
  const arrived: unknown[] = [];
  const changed = (): Promise<unknown> => Promise.race([once(child, "message"), once(child, "exit")]);
  child.on("message", (message) => arrived.push(message));
  return {
    next: async () => {
      while (arrived.length === 0) {
        if (child.exitCode !== null || child.signalCode !== null)
          throw new Error("The process ended without an answer.");
        await changed();
      }
      return arrived.shift();
    },
  };
}

/** Sends to the process that started this one, and waits until it is on its way. */
export async function sendToParent(message: unknown): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    if (!process.send) throw new Error("This file is started by the benchmark.");
    process.send(message, undefined, {}, (error) => (error ? reject(error) : resolve()));
  });
}

/** Waits until the process that started this one lets it go on. */
export async function waitForGo(): Promise<void> {
  await once(process, "message");
}

/** Milliseconds since 1970, with fractions, the same in every process of the machine. */
export function wallClock(): number {
  return performance.timeOrigin + performance.now();
}
