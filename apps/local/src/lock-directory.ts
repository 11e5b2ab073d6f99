import { mkdir, open, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "@pipeline/runtime";

/**
 * Makes this process the only one that uses a data directory: the embedded database would be damaged by a second one.
 * Throws AppError conflict `data_directory_in_use`. The lock of a process that died is taken over.
 */
export async function lockDirectory(directory: string): Promise<() => Promise<void>> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const path = join(directory, "lock");
  if (!(await createLock(path))) {
    const owner = Number(await readFile(path, "utf8").catch(() => ""));
    if (isAlive(owner)) {
      throw new AppError({
        kind: "conflict",
        code: "data_directory_in_use",
        message: `Process ${owner} already uses the data in ${directory}. Stop it, or set DATA_DIR to another directory.`,
      });
    }
    await rm(path, { force: true });
    if (!(await createLock(path))) return lockDirectory(directory);
  }
  return () => rm(path, { force: true });
}

async function createLock(path: string): Promise<boolean> {
  try {
    const file = await open(path, "wx", 0o600);
    await file.writeFile(String(process.pid));
    await file.close();
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  }
}

function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0 || pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: alive, but another user's.
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}
