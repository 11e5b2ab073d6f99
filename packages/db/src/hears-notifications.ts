import { randomUUID } from "node:crypto";
import { setImmediate, setTimeout as delay } from "node:timers/promises";
import type { Database } from "./database.ts";

export interface Hearing {
  /** How long to wait for the notification once it was sent. */
  waitMs: number;
  /** Its abort ends the trial without an answer. */
  signal: AbortSignal;
  /** A connection was lost or the notification could not be sent; the trial is made again. */
  onLost: (error: unknown) => void;
}

/**
 * True where LISTEN hears what the pool announces. Through a pooler in transaction mode LISTEN succeeds and hears
 * nothing, and leaves one of the pooler's connections listening for as long as that lives. So the trial has a channel of
 * its own that is never used again: on another, each wake-up would become a warning in the pooler's log. Undefined after
 * an abort.
 */
export async function hearsNotifications(database: Database, hearing: Hearing): Promise<boolean | undefined> {
  const channel = `test_${randomUUID().replaceAll("-", "")}`;
  const answer = Promise.withResolvers<boolean | undefined>();
  const stop = (): void => answer.resolve(undefined);
  hearing.signal.addEventListener("abort", stop, { once: true });
  let connection = new AbortController();
  const announce = async ({ signal }: AbortController): Promise<void> => {
    await sendUntilSent(database, { ...hearing, channel, signal });
    await delay(hearing.waitMs, undefined, { signal });
    // Where this process was busy all the time, what has arrived is read only now.
    await setImmediate();
    answer.resolve(false);
  };
  const unlisten = await database.listen(channel, {
    onNotify: () => answer.resolve(true),
    onListening: () => {
      connection = new AbortController();
      announce(connection).catch(() => undefined);
    },
    onLost: (error) => {
      connection.abort();
      hearing.onLost(error);
    },
  });
  if (hearing.signal.aborted) stop();
  const doesHear = await answer.promise;
  connection.abort();
  hearing.signal.removeEventListener("abort", stop);
  await unlisten();
  return doesHear;
}

const RETRY_MS = 2_000;

/** Through the pool, as everybody does who announces work. Rejects only with the signal's abort. */
async function sendUntilSent(
  database: Database,
  sending: { channel: string; signal: AbortSignal; onLost: (error: unknown) => void },
): Promise<void> {
  for (;;) {
    sending.signal.throwIfAborted();
    try {
      await database.run("select pg_notify($1, '')", [sending.channel]);
      return;
    } catch (error) {
      sending.onLost(error);
    }
    await delay(RETRY_MS, undefined, { signal: sending.signal });
  }
}
