import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";

const PREFIX = "pipeline-claim-";

/** No claim lasts so long: the deadlines of all stages add up to less than an hour. */
const LEFTOVER_AGE_MS = 24 * 60 * 60_000;

/** A directory of one claim's own, which only this user may read. */
export function createCopyDirectory(parent: string): Promise<string> {
  return mkdtemp(join(parent, PREFIX));
}

export function removeCopyDirectory(directory: string): Promise<void> {
  return rm(directory, { recursive: true, force: true });
}

/** Removes the copies that killed processes left behind: documents must not pile up outside of storage. */
export async function removeLeftovers(parent: string): Promise<void> {
  const before = Date.now() - LEFTOVER_AGE_MS;
  for (const name of await readdir(parent)) {
    if (!name.startsWith(PREFIX)) continue;
    const directory = join(parent, name);
    // Gone meanwhile: another worker clears the same directory.
    const found = await stat(directory).catch(() => undefined);
    if (found !== undefined && found.mtimeMs < before) await removeCopyDirectory(directory);
  }
}
