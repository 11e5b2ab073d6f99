import { readFile } from "node:fs/promises";

/** A process that inflates data grows by about 300 MB/s, so it passes its limit by some 30 MB at most. */
const POLL_MS = 100;

/**
 * Calls `onExceeded` once when a process's resident memory passes `limitMb` MiB. Reads /proc, so it does
 * nothing on systems other than Linux; there the heap limit and the wall clock remain. Returns a stop function.
 */
export function watchMemory(input: { pid: number | undefined; limitMb: number; onExceeded: () => void }): () => void {
  const { pid, limitMb, onExceeded } = input;
  if (pid === undefined || process.platform !== "linux") return () => undefined;
  const check = async (): Promise<void> => {
    if ((await readResidentMb(pid)) <= limitMb) return;
    clearInterval(timer);
    onExceeded();
  };
  const timer = setInterval(() => void check(), POLL_MS);
  return () => clearInterval(timer);
}

/** Resident MiB; 0 for a process that has gone. */
async function readResidentMb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  return Number(/^VmRSS:\s*(\d+) kB$/m.exec(status)?.[1] ?? 0) / 1024;
}
