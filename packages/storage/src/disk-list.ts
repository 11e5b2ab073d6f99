import type { Dirent } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { diskFault, systemErrorCode } from "./disk-fault.ts";
import { type DiskLayout, OBJECT_SUFFIX } from "./disk-layout.ts";
import { isObjectKey } from "./object-key.ts";
import type { ListedObject } from "./object-store.ts";

const DOING = "list its objects";

export async function* listDisk(layout: DiskLayout): AsyncGenerator<ListedObject> {
  // A lost disk is a fault here; below, a directory that has gone is one that was emptied meanwhile.
  for (const entry of await readdir(layout.objects, { withFileTypes: true }).catch(fail)) {
    if (entry.isDirectory()) yield* listDirectory(join(layout.objects, entry.name), "");
  }
}

/** `start` is the part of the keys that the directory stands for. */
async function* listDirectory(directory: string, start: string): AsyncGenerator<ListedObject> {
  for (const entry of (await ifPresent(readdir(directory, { withFileTypes: true }))) ?? []) {
    if (entry.isDirectory()) yield* listDirectory(join(directory, entry.name), `${start}${entry.name}/`);
    else yield* listFile(entry, start);
  }
}

async function* listFile(entry: Dirent, start: string): AsyncGenerator<ListedObject> {
  if (!entry.name.endsWith(OBJECT_SUFFIX)) return;
  const key = `${start}${entry.name.slice(0, -OBJECT_SUFFIX.length)}`;
  const found = isObjectKey(key) ? await ifPresent(stat(join(entry.parentPath, entry.name))) : undefined;
  if (found !== undefined) yield { key, bytes_len: found.size, stored_at: found.mtime };
}

async function ifPresent<Result>(work: Promise<Result>): Promise<Result | undefined> {
  try {
    return await work;
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return undefined;
    throw diskFault(DOING, error);
  }
}

function fail(error: unknown): never {
  throw diskFault(DOING, error);
}
