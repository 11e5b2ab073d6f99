import { workerData } from "node:worker_threads";
import { z } from "zod";

/**
 * Runs as a thread of the child: when the parent has gone, it ends the child even if the parser is stuck
 * in a loop, in which no handler of the main thread would ever run.
 */
const { parent_pid: parentPid } = z.object({ parent_pid: z.int() }).parse(workerData);

setInterval(() => {
  if (process.ppid !== parentPid) process.kill(process.pid, "SIGKILL");
}, 1000);
