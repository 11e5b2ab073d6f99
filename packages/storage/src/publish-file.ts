import { link, mkdir, open } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { systemErrorCode } from "./disk-fault.ts";
import { DIRECTORY_MODE, FILE_MODE } from "./disk-layout.ts";

/** Writes a file that must not exist yet, one chunk in memory at a time; its bytes survive a power cut. */
export async function writeNewFile(
  path: string,
  content: string | Uint8Array | AsyncIterable<Uint8Array>,
): Promise<void> {
  const file = await open(path, "wx", FILE_MODE);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** How often a directory may vanish, as empty, between its creation and the link. Each time takes another removal. */
const MAX_ATTEMPTS = 100;

/**
 * Gives a finished file its final name without ever replacing another: link(2) refuses a name that is taken, where a
 * rename would overwrite. True: the name is this file's and survives a power cut. False: it was taken. `root` is a
 * directory above `target` that exists already.
 */
export async function publishFile(partial: string, names: { target: string; root: string }): Promise<boolean> {
  const target = resolve(names.target);
  const root = resolve(names.root);
  const directory = dirname(target);
  for (let attempt = 1; ; attempt += 1) {
    try {
      await mkdir(directory, { recursive: true, mode: DIRECTORY_MODE });
      if (!(await linkUnlessTaken(partial, target))) return false;
      break;
    } catch (error) {
      if (systemErrorCode(error) !== "ENOENT" || attempt === MAX_ATTEMPTS) throw error;
    }
  }
  for (let level = directory; level !== root; level = dirname(level)) await syncDirectory(level);
  await syncDirectory(root);
  return true;
}

async function linkUnlessTaken(partial: string, target: string): Promise<boolean> {
  try {
    await link(partial, target);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === "EEXIST") return false;
    throw error;
  }
}

/** A new or removed name is on the disk only when its directory is. */
export async function syncDirectory(path: string): Promise<void> {
  if (process.platform === "win32") return; // Windows cannot open a directory and logs its names by itself.
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
