import type { Database } from "./database.ts";
import type { Queryable } from "./queryable.ts";

/** Tells idle workers that there is work. Polling finds it anyway; this only makes it sooner. */
export interface Notifier {
  /** Returns at once; many calls become one NOTIFY. */
  wake(): void;
  /** Sends what is pending and stops. */
  close(): Promise<void>;
}

/**
 * NOTIFY takes a database-wide lock at commit, so it is never part of a transaction that does work, and at most one
 * goes out per interval (default 20 ms).
 */
export function createNotifier(
  database: Database,
  options: { intervalMs?: number; onError: (error: unknown) => void },
): Notifier {
  let timer: NodeJS.Timeout | undefined;
  let sending: Promise<void> = Promise.resolve();
  const send = (): void => {
    timer = undefined;
    sending = sending.then(() => notifyWorkers(database)).catch(options.onError);
  };
  return {
    wake: () => {
      timer ??= setTimeout(send, options.intervalMs ?? 20);
    },
    close: async () => {
      if (timer) {
        clearTimeout(timer);
        send();
      }
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

async function notifyWorkers(database: Database & Queryable): Promise<void> {
  await database.run("select pg_notify($1, '')", [channelOf(database.schemaName)]);
}

/** One channel per schema, so that staging and production in one database do not wake each other. */
function channelOf(schemaName: string): string {
  return `${schemaName}_work`.slice(0, 63);
}
