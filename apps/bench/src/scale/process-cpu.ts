import { readFile } from "node:fs/promises";

/** Linux counts processor time in hundredths of a second for everybody who asks /proc. */
const TICKS_PER_SECOND = 100;

/** Seconds of processor time of a process and of the children that it has seen end. Throws where there is no /proc. */
export async function readProcessCpu(pid: number): Promise<number> {
  return sumCpu(await readFile(`/proc/${pid}/stat`, "utf8"), { withChildren: () => true });
}

/**
 * Of all processes of a container, from the lines of their `/proc/…/stat`: what runs, and what the first one, the server,
 * has seen end. Connections come and go, so both are needed.
 */
export function sumContainerCpu(stats: string): number {
  return sumCpu(stats, { withChildren: (pid) => pid === 1 });
}

function sumCpu(stats: string, { withChildren }: { withChildren: (pid: number) => boolean }): number {
  let ticks = 0;
  for (const line of stats.split("\n")) {
    const found = /^(\d+) \(.*\) (.*)$/.exec(line);
    if (!found) continue;
    // After the name, which may hold anything: state is field 3, utime, stime, cutime and cstime are 14 to 17.
    const fields = (found[2] ?? "").split(" ").slice(11, 15).map(Number);
    const [user = 0, system = 0, childrenUser = 0, childrenSystem = 0] = fields;
    ticks += user + system + (withChildren(Number(found[1])) ? childrenUser + childrenSystem : 0);
  }
  return ticks / TICKS_PER_SECOND;
}
