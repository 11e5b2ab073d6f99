import { randomUUID } from "node:crypto";
import { cp, mkdir, readdir, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";

/**
 * Puts a fresh data directory of the embedded database where there is none yet. Making one takes seven seconds, a copy half of
 * one, so the first that `make` makes is kept beside the installed packages, for this version of the database.
 */
export async function placeDirectory(
  directory: string,
  options: { make: (directory: string) => Promise<void>; kept?: string },
): Promise<void> {
  if ((await readdir(directory).catch(() => [])).length > 0) return;
  const kept = options.kept ?? (await keptDirectory());
  // Under another name until it is whole, so that no start finds half of one.
  const draft = `${directory}.new`;
  await rm(draft, { recursive: true, force: true });
  await mkdir(dirname(directory), { recursive: true });
  if (await isThere(kept, options.make)) await cp(kept, draft, { recursive: true });
  else await options.make(draft);
  await rename(draft, directory);
}

/** False where nothing can be kept: the packages may be somebody else's, or read only. */
async function isThere(kept: string, make: (directory: string) => Promise<void>): Promise<boolean> {
  if ((await readdir(kept).catch(() => [])).length > 0) return true;
  const draft = `${kept}.${randomUUID()}`;
  try {
    await mkdir(dirname(kept), { recursive: true });
    await make(draft);
    await rename(draft, kept);
    return true;
  } catch {
    await rm(draft, { recursive: true, force: true }).catch(() => undefined);
    // Two processes may have made one at the same time.
    return (await readdir(kept).catch(() => [])).length > 0;
  }
}

async function keptDirectory(): Promise<string> {
  const packageFile = new URL("../package.json", import.meta.resolve("@electric-sql/pglite"));
  const { version } = z.object({ version: z.string() }).parse(JSON.parse(await readFile(packageFile, "utf8")));
  return join(import.meta.dirname, "../../../node_modules/.cache/upload-pipeline", `pglite-${version}`);
}
