import { workerData } from "node:worker_threads";

/**
 * Runs as a thread of the child: when the parent has gone, it ends the child even if the parser is stuck
 * in a loop, in which no handler of the main thread would ever run.
 */
// The parent's process id. Whatever else it were would end the child, and reading it by zod would cost each document 0.1 s.
const parentPid: unknown = workerData;

setInterval(() => {
  if (process.ppid !== parentPid) process.kill(process.pid, "SIGKILL");
}, 1000);
