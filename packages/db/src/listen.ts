import { Client } from "pg";
import { quoteIdentifier } from "./quote-identifier.ts";

export interface ChannelListener {
  onNotify: (payload: string) => void;
  /** LISTEN is in force, at first and again after every lost connection; what was sent in between was missed. */
  onListening: () => void;
  onLost: (error: unknown) => void;
}

export interface ListenConnection {
  url: string;
  applicationName: string;
  connectTimeoutMs: number;
  /** How often it is asked whether it still answers, and how long it may take; 30 s and 10 s by default. */
  heartbeatMs?: number;
  answerMs?: number;
}

const HEARTBEAT_MS = 30_000;
const ANSWER_MS = 10_000;

/** The first wait; each further one in a row is twice as long, up to the longest, so that a wrong address fills no log. */
const RECONNECT_MS = 2_000;
const LONGEST_RECONNECT_MS = 60_000;

/**
 * LISTEN needs a session of its own; when it is lost it is opened again, and polling covers the gap. Nothing is heard on a
 * connection that died in silence either, so it is asked now and then.
 */
export async function listenOnOwnConnection(
  connection: ListenConnection,
  listener: ChannelListener & { channel: string },
): Promise<() => Promise<void>> {
  const closing = new AbortController();
  let client: Client | undefined;
  let timer: NodeJS.Timeout | undefined;
  const { heartbeatMs = HEARTBEAT_MS, answerMs = ANSWER_MS } = connection;
  let waitMs = RECONNECT_MS;

  const connect = async (): Promise<void> => {
    const attempt = openClient(connection);
    client = attempt;
    let isLost = false;
    const lose = (error: unknown): void => {
      if (isLost || closing.signal.aborted) return;
      isLost = true;
      clearTimeout(timer);
      void closeQuietly(attempt);
      listener.onLost(error);
      timer = setTimeout(() => void connect(), waitMs);
      waitMs = Math.min(LONGEST_RECONNECT_MS, 2 * waitMs);
    };
    const ask = async (): Promise<void> => {
      timer = setTimeout(() => lose(new Error("The connection that listens does not answer.")), answerMs);
      await attempt.query("select 1");
      if (isLost || closing.signal.aborted) return;
      clearTimeout(timer);
      askLater();
    };
    const askLater = (): void => {
      timer = setTimeout(() => void ask().catch(lose), heartbeatMs);
    };
    attempt.on("error", lose);
    attempt.on("end", () => lose(new Error("connection ended")));
    attempt.on("notification", ({ payload }) => listener.onNotify(payload ?? ""));
    try {
      await attempt.connect();
      await attempt.query(`listen ${quoteIdentifier(listener.channel)}`);
      waitMs = RECONNECT_MS;
      if (closing.signal.aborted) return;
      askLater();
      listener.onListening();
    } catch (error) {
      lose(error);
    }
  };
  await connect();
  return async () => {
    closing.abort();
    clearTimeout(timer);
    if (client) await closeQuietly(client);
  };
}

function openClient(connection: ListenConnection): Client {
  return new Client({
    connectionString: connection.url,
    application_name: `${connection.applicationName} listen`,
    connectionTimeoutMillis: connection.connectTimeoutMs,
    keepAlive: true,
  });
}

/** A connection that is already lost may fail to close; there is nothing left to do about it. */
async function closeQuietly(client: Client): Promise<void> {
  await client.end().catch(() => undefined);
}
