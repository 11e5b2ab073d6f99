import { randomBytes } from "node:crypto";
import { readdir, readFile, rm, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "@pipeline/runtime";
import { diskFault, systemErrorCode } from "./disk-fault.ts";
import { type DiskLayout, isLeftover, newPartialPath, newProbePath } from "./disk-layout.ts";
import { publishFile, writeNewFile } from "./publish-file.ts";

/** A file that nobody has written to for so long belongs to a process that was killed, or to a client that gave up. */
const LEFTOVER_AGE_MS = 24 * 60 * 60 * 1000;

/**
 * Takes a probe along the way of an upload, with the same calls, and clears what killed processes and clients left behind.
 * Errors: transient `storage_full` or `storage_unavailable`, naming the step.
 */
export async function checkDisk(layout: DiskLayout): Promise<void> {
  await step("clear abandoned uploads", () => removeLeftovers(layout));
  const partial = newPartialPath(layout);
  const probe = newProbePath(layout);
  const content = randomBytes(64);
  try {
    await step("write a probe", () => writeNewFile(partial, content));
    await step("publish a probe", () => publishFile(partial, { target: probe, root: layout.objects }));
    const stored = await step("read a probe", () => readFile(probe));
    if (!stored.equals(content)) throw probeDiffers();
    await step("delete a probe", () => Promise.all([unlink(partial), unlink(probe)]));
  } catch (error) {
    // Whether or not this works, the first fault is the one to report; a later check clears what stays behind.
    await Promise.allSettled([rm(partial, { force: true }), rm(probe, { force: true })]);
    throw error;
  }
}

async function step<Result>(doing: string, run: () => Promise<Result>): Promise<Result> {
  try {
    return await run();
  } catch (error) {
    throw diskFault(doing, error);
  }
}

async function removeLeftovers(layout: DiskLayout): Promise<void> {
  const abandonedBefore = Date.now() - LEFTOVER_AGE_MS;
  for (const directory of [layout.incoming, layout.resumable, layout.objects]) {
    for (const name of await readdir(directory)) {
      const path = join(directory, name);
      // Nothing lasts in `resumable/`: a finished upload leaves it at once.
      const mayGo = directory === layout.resumable || isLeftover(name);
      if (mayGo && (await lastWrite(path)) < abandonedBefore) await rm(path, { force: true });
    }
  }
}

/** Milliseconds since the epoch; a file that has just been finished or cleared by another process counts as new. */
async function lastWrite(path: string): Promise<number> {
  try {
    return (await stat(path)).mtimeMs;
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return Number.POSITIVE_INFINITY;
    throw error;
  }
}

function probeDiffers(): AppError {
  return new AppError({
    kind: "transient",
    code: "storage_unavailable",
    message: "Object storage returned other bytes than were written to it.",
  });
}
