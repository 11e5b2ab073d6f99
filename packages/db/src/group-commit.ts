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

/** A flush that takes longer is stuck, on a connection that died in silence perhaps; the others do not wait for it. */
const STUCK_MS = 500;
/** However many are stuck, most of the pool's connections are left to others. */
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
    await flush(options, batch);
    clearTimeout(timer);
    if (isStuck) stuck -= 1;
    for (const { item } of batch) moving.delete(options.keyOf(item));
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
    if (flushers === 0 && moving.size === 0) startFlusher();
  };
  const startFlusher = (): void => {
    const enough = [1, secondFrom][flushers] ?? Number.POSITIVE_INFINITY;
    if (waiting.length < enough || flushers + stuck >= MOST_FLUSHES) return;
    flushers += 1;
    void keepFlushing();
  };
  return (item) =>
    new Promise((resolve, reject) => {
      if (waiting.length >= mostWaiting) return reject(databaseBusy());
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
