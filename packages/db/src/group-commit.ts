import { setImmediate } from "node:timers/promises";
import { databaseBusy } from "./errors.ts";

export interface GroupCommitOptions<Item, Result> {
  /** Commits the items together and answers for each of them, in their order. */
  commit: (items: readonly Item[]) => Promise<readonly Result[]>;
  /** Items of one key are never under way together: the later ones wait for the next flush. */
  keyOf: (item: Item) => string;
  /** True: the error concerns some of the items, so that they are parted; false: it concerns all of them. */
  isOfSome: (error: unknown) => boolean;
  /** Most items of a flush. */
  largest: number;
  /** Items beyond so many that wait are turned away as `database_busy`; left out, none are. */
  mostWaiting?: number;
  /** From how many waiting items on a second flush goes out beside the first; left out, none does. */
  secondFrom?: number;
}

/** A flush that takes longer is stuck, on a connection that died in silence perhaps; the others do not wait for it. */
const STUCK_MS = 500;
/** However many are stuck, most of the ten connections that a pool has by default are left to others. */
const MOST_FLUSHES = 4;

interface Entry<Item, Result> {
  item: Item;
  resolve: (result: Result) => void;
  reject: (error: unknown) => void;
}

/**
 * Self-clocked group commit: the next flush starts when the previous one has returned and takes whatever gathered
 * meanwhile. No timer delays anything, so a lone item waits for nobody. What is answered rejects with `commit`'s error.
 */
export function createGroupCommit<Item, Result>(
  options: GroupCommitOptions<Item, Result>,
): (item: Item) => Promise<Result> {
  const { secondFrom = Number.POSITIVE_INFINITY, mostWaiting = Number.POSITIVE_INFINITY } = options;
  let waiting: Entry<Item, Result>[] = [];
  /** Keys of the flushes under way. */
  const moving = new Set<string>();
  /** Those who flush, the stuck ones apart. */
  let flushers = 0;
  let stuck = 0;

  /** Answers whether it became stuck, and so is a flusher no more. */
  const flushWatched = async (batch: readonly Entry<Item, Result>[]): Promise<boolean> => {
    let isStuck = false;
    const timer = setTimeout(() => {
      isStuck = true;
      flushers -= 1;
      stuck += 1;
      startFlusher();
    }, STUCK_MS);
    await flush(options, batch, (item) => moving.delete(options.keyOf(item)));
    clearTimeout(timer);
    if (isStuck) stuck -= 1;
    return isStuck;
  };
  const keepFlushing = async (): Promise<void> => {
    // What belongs together arrives within one turn of the event loop.
    await setImmediate();
    while (waiting.length >= (flushers === 1 ? 1 : secondFrom)) {
      const { batch, rest } = takeBatch(options, { waiting, moving });
      waiting = rest;
      // All that waits has keys of another flush, which sees to it.
      if (batch.length === 0) break;
      if (await flushWatched(batch)) return startFlusher();
    }
    flushers -= 1;
  };
  const startFlusher = (): void => {
    const enough = [1, secondFrom][flushers] ?? Number.POSITIVE_INFINITY;
    if (waiting.length < enough || flushers + stuck >= MOST_FLUSHES) return;
    flushers += 1;
    void keepFlushing();
  };
  /** Those who wait for a stuck flush of their key, and those who wait for any, do not crowd each other out. */
  const isCrowded = (item: Item): boolean => {
    const isBehind = moving.has(options.keyOf(item));
    return waiting.filter((entry) => moving.has(options.keyOf(entry.item)) === isBehind).length >= mostWaiting;
  };
  return (item) =>
    new Promise((resolve, reject) => {
      if (waiting.length >= mostWaiting && isCrowded(item)) return reject(databaseBusy());
      waiting.push({ item, resolve, reject });
      startFlusher();
    });
}

/** At most one entry of each key, whose keys are moving from now on. */
function takeBatch<Item, Result>(
  { keyOf, largest }: GroupCommitOptions<Item, Result>,
  { waiting, moving }: { waiting: readonly Entry<Item, Result>[]; moving: Set<string> },
): { batch: Entry<Item, Result>[]; rest: Entry<Item, Result>[] } {
  const batch: Entry<Item, Result>[] = [];
  const rest: Entry<Item, Result>[] = [];
  for (const entry of waiting) {
    const key = keyOf(entry.item);
    const fits = batch.length < largest && !moving.has(key);
    (fits ? batch : rest).push(entry);
    if (fits) moving.add(key);
  }
  return { batch, rest };
}

/** Never rejects: every entry learns its own fate, and `onEnd` of it. */
async function flush<Item, Result>(
  options: GroupCommitOptions<Item, Result>,
  batch: readonly Entry<Item, Result>[],
  onEnd: (item: Item) => void,
): Promise<void> {
  try {
    const results = await options.commit(batch.map(({ item }) => item));
    for (const [index, result] of results.entries()) batch[index]?.resolve(result);
  } catch (error) {
    if (batch.length > 1 && options.isOfSome(error)) {
      // By halves: one culprit among a hundred costs some fourteen statements.
      const half = batch.length >> 1;
      await flush(options, batch.slice(0, half), onEnd);
      await flush(options, batch.slice(half), onEnd);
      return;
    }
    for (const entry of batch) entry.reject(error);
  }
  for (const { item } of batch) onEnd(item);
}
