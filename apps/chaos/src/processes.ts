import { readdir, readFile } from "node:fs/promises";

export interface GroupMember {
  pid: number;
  group: number;
  name: string;
}

/** Processes alive in these process groups, parsers of workers included; undefined where there is no /proc. */
export async function listGroupMembers(groups: readonly number[]): Promise<GroupMember[] | undefined> {
  const wanted = new Set(groups);
  const names = await readdir("/proc").catch(() => undefined);
  if (names === undefined) return undefined;
  const members = await Promise.all(names.filter((name) => /^\d+$/.test(name)).map(readStat));
  return members.flatMap((member) => (member !== undefined && wanted.has(member.group) ? [member] : []));
}

/** Undefined: gone meanwhile, or only waiting to be reaped. */
async function readStat(pid: string): Promise<GroupMember | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  const found = text === undefined ? undefined : /^\d+ \((.*)\) (\S) \d+ (\d+) /su.exec(text);
  if (!found || found[2] === "Z") return undefined;
  return { pid: Number(pid), group: Number(found[3]), name: found[1] ?? "" };
}
