import type { Database } from "./database.ts";

/** Tells idle workers that there is work. Polling finds it anyway; this only makes it sooner. */
export interface Notifier {
  /** Call it once the work is committed. Returns at once; many calls become one NOTIFY. */
  wake(): void;
  /** Sends what is pending and stops. */
  close(): Promise<void>;
}

/**
 * NOTIFY takes a database-wide lock at commit, so it is never part of a transaction that does work, and at most one
 * goes out per interval (default 20 ms), the first at once. Only one is under way at a time, however slow the database.
 */
export function createNotifier(
  database: Database,
  options: { intervalMs?: number; onError: (error: unknown) => void },
): Notifier {
  const intervalMs = options.intervalMs ?? 20;
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

/** Calls back when there may be work, until the returned function is called. */
export function listenForWork(
  database: Database,
  callbacks: { onWork: () => void; onLost: (error: unknown) => void },
): Promise<() => Promise<void>> {
  return database.listen(channelOf(database.schemaName), callbacks.onWork, callbacks.onLost);
}

async function notifyWorkers(database: Database): Promise<void> {
  await database.run("select pg_notify($1, '')", [channelOf(database.schemaName)]);
}

/** One channel per schema, so that staging and production in one database do not wake each other. */
function channelOf(schemaName: string): string {
  return `${schemaName}_work`.slice(0, 63);
}
