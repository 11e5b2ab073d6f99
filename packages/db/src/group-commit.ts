import { setImmediate } from "node:timers/promises";
import { databaseBusy } from "./errors.ts";

export interface GroupCommitOptions<Item, Result> {
  /** Commits the items together and answers for each of them, in their order. */
  commit: (items: readonly Item[]) => Promise<readonly Result[]>;
  /** Items of one key are never under way together: the later ones wait for the next flush. */
  keyOf: (item: Item) => string;
  /** True: the error concerns one of the items, so that each is tried alone; false: it concerns all of them. */
  isOfOne: (error: unknown) => boolean;
  /** Most items of a flush. */
  largest: number;
  /** Items beyond so many that wait are turned away as `database_busy`; left out, none are. */
  mostWaiting?: number;
  /** From how many waiting items on a second flush goes out beside the first; left out, none does. */
  secondFrom?: number;
}

interface Entry<Item, Result> {
  item: Item;
  resolve: (result: Result) => void;
  reject: (error: unknown) => void;
}

/**
 * Self-clocked group commit: the next flush starts when the previous one has returned and takes whatever gathered
 * meanwhile. There is no timer, so a lone item waits for nobody. What is answered rejects with `commit`'s error.
 */
export function createGroupCommit<Item, Result>(
  options: GroupCommitOptions<Item, Result>,
): (item: Item) => Promise<Result> {
  let waiting: Entry<Item, Result>[] = [];
  /** Keys of the flushes under way. */
  const moving = new Set<string>();
  const fromByFlushes = [1, options.secondFrom ?? Number.POSITIVE_INFINITY];
  let flushCount = 0;

  /** At most one entry of each key. */
  const takeBatch = (): Entry<Item, Result>[] => {
    const batch: Entry<Item, Result>[] = [];
    const rest: Entry<Item, Result>[] = [];
    for (const entry of waiting) {
      const key = options.keyOf(entry.item);
      const fits = batch.length < options.largest && !moving.has(key);
      (fits ? batch : rest).push(entry);
      if (fits) moving.add(key);
    }
    waiting = rest;
    return batch;
  };
  /** False: all that waits has keys of the other flush, which sees to it. */
  const flushNext = async (): Promise<boolean> => {
    const batch = takeBatch();
    if (batch.length > 0) await flush(options, batch);
    for (const { item } of batch) moving.delete(options.keyOf(item));
    return batch.length > 0;
  };
  const keepFlushing = async (): Promise<void> => {
    // What belongs together arrives within one turn of the event loop.
    await setImmediate();
    while (waiting.length >= (fromByFlushes[flushCount - 1] ?? 1) && (await flushNext()));
    flushCount -= 1;
  };
  return (item) =>
    new Promise((resolve, reject) => {
      if (waiting.length >= (options.mostWaiting ?? Number.POSITIVE_INFINITY)) return reject(databaseBusy());
      waiting.push({ item, resolve, reject });
      if (waiting.length < (fromByFlushes[flushCount] ?? Number.POSITIVE_INFINITY)) return;
      flushCount += 1;
      void keepFlushing();
    });
}

/** Never rejects: every entry learns its own fate. */
async function flush<Item, Result>(
  options: GroupCommitOptions<Item, Result>,
  batch: readonly Entry<Item, Result>[],
): Promise<void> {
  try {
    const results = await options.commit(batch.map(({ item }) => item));
    for (const [index, result] of results.entries()) batch[index]?.resolve(result);
  } catch (error) {
    if (batch.length > 1 && options.isOfOne(error)) {
      for (const entry of batch) await flush(options, [entry]);
      return;
    }
    for (const entry of batch) entry.reject(error);
  }
}
