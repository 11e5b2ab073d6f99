import { listNeededKeys, type Queryable } from "@pipeline/db";
import type { ListableStore, ListedObject } from "@pipeline/storage";

export interface OrphanReport {
  object_count: number;
  /** Objects that no row needs and that are old enough to be removed, and their bytes. */
  orphan_count: number;
  orphan_bytes: number;
  /** Objects that no row needs and that may still be wanted. */
  young_count: number;
  removed_count: number;
  /** Keys of the first of them. */
  orphans: string[];
}

interface Input {
  database: Queryable;
  storage: ListableStore;
  storedBefore: Date;
}

/** Objects compared in one statement. */
const BATCH = 500;
/** Orphans that are named. */
const MOST_NAMED = 100;

export async function countOrphans({ database, storage, storedBefore }: Input): Promise<OrphanReport> {
  const report = { object_count: 0, orphan_count: 0, orphan_bytes: 0, young_count: 0, removed_count: 0 };
  const orphans: string[] = [];
  for await (const batch of inBatches(storage.list())) {
    report.object_count += batch.length;
    for (const object of await findUnneeded(database, batch)) {
      if (object.stored_at >= storedBefore) {
        report.young_count += 1;
        continue;
      }
      report.orphan_count += 1;
      report.orphan_bytes += object.bytes_len;
      if (orphans.length < MOST_NAMED) orphans.push(object.key);
    }
  }
  return { ...report, orphans };
}

/**
 * Answers how many are left. Removing while listing makes a server that counts its pages leave some out, so it is listed
 * again until there is nothing left to remove, or until what is left does not go.
 */
export async function removeOrphans(input: Input): Promise<number> {
  let before = Number.POSITIVE_INFINITY;
  for (;;) {
    const found = await removeOnce(input);
    if (found === 0 || found >= before) return found;
    before = found;
  }
}

/** Answers how many it found, and told the store to remove. */
async function removeOnce({ database, storage, storedBefore }: Input): Promise<number> {
  let count = 0;
  for await (const batch of inBatches(storage.list())) {
    const old = batch.filter((object) => object.stored_at < storedBefore);
    const keys = (await findUnneeded(database, old)).map((object) => object.key);
    await storage.remove(keys);
    count += keys.length;
  }
  return count;
}

/**
 * A row is written before the link that its file is put with, and the object is listed before its row is asked for: what
 * has no row here has lost it.
 */
async function findUnneeded(database: Queryable, objects: readonly ListedObject[]): Promise<ListedObject[]> {
  if (objects.length === 0) return [];
  const needed = await listNeededKeys(
    database,
    objects.map((object) => object.key),
  );
  return objects.filter((object) => !needed.has(object.key));
}

async function* inBatches(objects: AsyncIterable<ListedObject>): AsyncGenerator<ListedObject[]> {
  let batch: ListedObject[] = [];
  for await (const object of objects) {
    batch.push(object);
    if (batch.length < BATCH) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
