import { randomUUID } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";

/**
 * `incoming/` holds files that are still being written, `objects/` those that are whole. Both are in one directory,
 * hence on one file system, where a link moves a file from the one to the other at once. `resumable/` holds what has
 * come of resumable uploads, which may grow over hours and many connections.
 */
export interface DiskLayout {
  incoming: string;
  resumable: string;
  objects: string;
}

export const DIRECTORY_MODE = 0o700;
export const FILE_MODE = 0o600;

/** Lets the keys `a` and `a/b` both exist. */
export const OBJECT_SUFFIX = ".object";

const PARTIAL = ".part";
const PROBE = ".probe";

/** Made once, when the store is: a store whose directories go missing later has lost its disk, and says so. */
export function createLayout(directory: string): DiskLayout {
  const layout = {
    incoming: join(directory, "incoming"),
    resumable: join(directory, "resumable"),
    objects: join(directory, "objects"),
  };
  for (const path of Object.values(layout)) mkdirSync(path, { recursive: true, mode: DIRECTORY_MODE });
  return layout;
}

/**
 * `objects/<2 hex>/<uuid>/<uuid>.object`. The last two digits spread the first level over 256 directories: they are
 * random in every version of UUID, the first ones are a clock in version 7.
 */
export function objectPath(layout: DiskLayout, key: string): string {
  const [first = ""] = key.split("/", 1);
  return join(layout.objects, first.slice(-2), `${key}${OBJECT_SUFFIX}`);
}

export function newPartialPath(layout: DiskLayout): string {
  return join(layout.incoming, `${randomUUID()}${PARTIAL}`);
}

export function newProbePath(layout: DiskLayout): string {
  return join(layout.objects, `${randomUUID()}${PROBE}`);
}

/** True for the names above, which a killed process leaves behind; never for an object. */
export function isLeftover(name: string): boolean {
  return name.endsWith(PARTIAL) || name.endsWith(PROBE);
}
