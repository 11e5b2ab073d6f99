import { setImmediate, setTimeout as delay } from "node:timers/promises";
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

export interface WorkListener {
  /** There may be work: somebody said so, or may have while nobody listened. */
  onWork: () => void;
  /** The connection was lost, or could not be tested; it is opened again. Polling covers the gap. */
  onLost: (error: unknown) => void;
  /** Told after each connection. False: wake-ups do not arrive here, and nobody listens any more. */
  onTested?: (doArrive: boolean) => void;
  /** How long the test waits once its own notification was sent. */
  testMs?: number;
}

/** A notification takes milliseconds; a pooler in transaction mode loses it however long one waits. */
const TEST_MS = 2_000;
const TEST_PAYLOAD = "test";

/**
 * Calls back when there may be work, until the returned function is called. Every new connection is tested with a
 * notification of its own, because LISTEN through a pooler succeeds and hears nothing. Resolves when the first test is
 * over or cannot be made.
 */
export async function listenForWork(database: Database, listener: WorkListener): Promise<() => Promise<void>> {
  const channel = channelOf(database.schemaName);
  let arrival = Promise.withResolvers<Arrival>();
  let testing: Promise<void> | undefined;

  const test = async (): Promise<void> => {
    arrival = Promise.withResolvers();
    const outcome = await testArrival({ database, channel, arrival: arrival.promise, ms: listener.testMs ?? TEST_MS });
    if (outcome === "lost") return;
    listener.onTested?.(outcome === "arrived");
    if (outcome === "silent") await stop();
  };
  const lose = (error: unknown): void => {
    arrival.resolve("lost");
    listener.onLost(error);
  };
  const listening = database.listen(channel, {
    onNotify: (payload) => {
      arrival.resolve("arrived");
      if (payload !== TEST_PAYLOAD) listener.onWork();
    },
    onListening: () => {
      // Covers whatever was announced while nobody listened.
      listener.onWork();
      testing = test().catch(lose);
    },
    onLost: lose,
  });
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => (stopped ??= listening.then((unlisten) => unlisten()));
  await listening;
  await testing;
  return stop;
}

type Arrival = "arrived" | "silent" | "lost";

/** Sends through the pool, as everybody does who announces work. */
async function testArrival(test: {
  database: Database;
  channel: string;
  arrival: Promise<Arrival>;
  ms: number;
}): Promise<Arrival> {
  await test.database.run("select pg_notify($1, $2)", [test.channel, TEST_PAYLOAD]);
  const cancelling = new AbortController();
  const silence = waitInSilence(test.ms, cancelling.signal);
  try {
    return await Promise.race([test.arrival, silence]);
  } finally {
    cancelling.abort();
  }
}

async function waitInSilence(ms: number, signal: AbortSignal): Promise<Arrival> {
  await delay(ms, undefined, { signal }).catch(() => undefined);
  // Where this process was busy all the time, what has arrived is read only now.
  await setImmediate();
  return "silent";
}

async function notifyWorkers(database: Database): Promise<void> {
  await database.run("select pg_notify($1, '')", [channelOf(database.schemaName)]);
}

/** One channel per schema, so that staging and production in one database do not wake each other. */
function channelOf(schemaName: string): string {
  return `${schemaName}_work`.slice(0, 63);
}
