import type { Database } from "./database.ts";
import { hearsNotifications } from "./hears-notifications.ts";

/** Tells idle workers that there is work. Polling finds it anyway; this only makes it sooner. */
export interface Notifier {
  /** Call it once the work is committed. Returns at once; many calls become one NOTIFY. */
  wake(): void;
  /** Sends what is pending and stops. */
  close(): Promise<void>;
}

/**
 * NOTIFY takes a database-wide lock at commit, so it is never part of a transaction that does work, and at most one
 * goes out per interval (default 10 ms), the first at once. Only one is under way at a time, however slow the database.
 */
export function createNotifier(
  database: Database,
  options: { intervalMs?: number; onError: (error: unknown) => void },
): Notifier {
  const intervalMs = options.intervalMs ?? 10;
  let isPending = false;
  let isClosed = false;
  let timer: NodeJS.Timeout | undefined;
  let sending: Promise<void> | undefined;

  const send = (): void => {
    isPending = false;
    sending = notifyWorkers(database)
      .catch(options.onError)
      .finally(() => {
        sending = undefined;
      });
    timer = setTimeout(() => void sendAgain(), intervalMs);
  };
  const sendAgain = async (): Promise<void> => {
    await sending;
    timer = undefined;
    if (isPending && !isClosed) send();
  };
  return {
    wake: () => {
      if (isClosed) return;
      isPending = true;
      if (!timer) send();
    },
    close: async () => {
      isClosed = true;
      clearTimeout(timer);
      await sending;
      if (isPending) send();
      clearTimeout(timer);
      await sending;
    },
  };
}

export interface WorkListener {
  /** There may be work: somebody said so, or may have while nobody listened. */
  onWork: () => void;
  /** The connection was lost, or there is none yet; it is opened again. Polling covers the gap. */
  onLost: (error: unknown) => void;
  /** Told once. False: wake-ups do not arrive here, and nobody listens. */
  onTested?: (doArrive: boolean) => void;
  /** How long to wait for a test notification; 2 s by default. */
  testMs?: number;
}

/** A notification takes milliseconds; a pooler in transaction mode loses it however long one waits. */
const TEST_MS = 2_000;

/**
 * Calls back when there may be work, until the returned function is called. Listens only once it is proven that
 * notifications arrive. Resolves when it listens, knows that it need not, or the first try has failed; others follow.
 */
export async function listenForWork(database: Database, listener: WorkListener): Promise<() => Promise<void>> {
  const { onWork, onTested = () => undefined, testMs = TEST_MS } = listener;
  const stopping = new AbortController();
  const begun = Promise.withResolvers<void>();
  const onLost = (error: unknown): void => {
    begun.resolve();
    listener.onLost(error);
  };
  const begin = async (): Promise<() => Promise<void>> => {
    const doArrive = await hearsNotifications(database, { waitMs: testMs, signal: stopping.signal, onLost });
    if (doArrive !== undefined) onTested(doArrive);
    if (!doArrive) return async () => undefined;
    const channel = channelOf(database.schemaName);
    // Whatever was announced while nobody listened is covered by one wake-up at each connection.
    return database.listen(channel, { onNotify: onWork, onListening: onWork, onLost });
  };
  const listening = begin();
  listening.then(() => begun.resolve(), onLost);
  await begun.promise;
  return async () => {
    stopping.abort();
    const unlisten = await listening.catch(() => undefined);
    await unlisten?.();
  };
}

async function notifyWorkers(database: Database): Promise<void> {
  await database.run("select pg_notify($1, '')", [channelOf(database.schemaName)]);
}

/** One channel per schema, so that staging and production in one database do not wake each other. */
function channelOf(schemaName: string): string {
  return `${schemaName}_work`.slice(0, 63);
}
