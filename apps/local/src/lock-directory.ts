import { randomUUID } from "node:crypto";
import { link, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "@pipeline/runtime";

/**
 * Makes this process the only one that uses a data directory: the embedded database would be damaged by a second one.
 * Throws AppError conflict `data_directory_in_use`. The lock of a process that died is taken over.
 */
export async function lockDirectory(directory: string): Promise<() => Promise<void>> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const path = join(directory, "lock");
  const own = `${process.pid} ${await startOf(process.pid)}`;
  while (!(await createLock(path, own))) {
    const found = await readFile(path, "utf8").catch(() => "");
    if (await isOwnerAlive(found)) {
      throw new AppError({
        kind: "conflict",
        code: "data_directory_in_use",
        message: `Process ${found.split(" ")[0]} already uses the data in ${directory}. Stop it, or set DATA_DIR to another directory.`,
      });
    }
    await discardLock(path, found);
  }
  return () => rm(path, { force: true });
}

/** Moves a dead owner's lock away; if somebody else has taken it over meanwhile, theirs goes back to its place. */
async function discardLock(path: string, dead: string): Promise<void> {
  const aside = `${path}.${randomUUID()}`;
  const isMoved = await rename(path, aside).then(
    () => true,
    () => false,
  );
  if (!isMoved) return;
  if ((await readFile(aside, "utf8")) !== dead) await link(aside, path);
  await rm(aside);
}

/** Linked into place whole, so that nobody ever reads a lock without an owner. */
async function createLock(path: string, owner: string): Promise<boolean> {
  const draft = `${path}.${randomUUID()}`;
  await writeFile(draft, owner, { mode: 0o600 });
  try {
    await link(draft, path);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  } finally {
    await rm(draft, { force: true });
  }
}

/** A number is given to a new process again; where the system tells, its start time says whether it is the same one. */
async function isOwnerAlive(lock: string): Promise<boolean> {
  const [number = "", started = ""] = lock.split(" ");
  const pid = Number(number);
  if (!Number.isInteger(pid) || pid <= 0 || !exists(pid)) return false;
  return (await startOf(pid)) === started;
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: alive, but another user's.
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}

/** Clock ticks from boot to the process's start, field 22 of proc(5); "unknown" where there is no /proc. */
async function startOf(pid: number): Promise<string> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  // The command's name, in parentheses, may hold blanks: fields are counted from behind it.
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "unknown";
}
