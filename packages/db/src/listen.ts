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
  let stopAsking: (() => void) | undefined;
  let waitMs = RECONNECT_MS;

  const connect = async (): Promise<void> => {
    const attempt = openClient(connection);
    client = attempt;
    let isLost = false;
    const lose = (error: unknown): void => {
      if (isLost || closing.signal.aborted) return;
      isLost = true;
      stopAsking?.();
      void closeQuietly(attempt);
      listener.onLost(error);
      timer = setTimeout(() => void connect(), waitMs);
      waitMs = Math.min(LONGEST_RECONNECT_MS, 2 * waitMs);
    };
    attempt.on("error", lose);
    attempt.on("end", () => lose(new Error("connection ended")));
    attempt.on("notification", ({ payload }) => listener.onNotify(payload ?? ""));
    try {
      await attempt.connect();
      await attempt.query(`listen ${quoteIdentifier(listener.channel)}`);
      waitMs = RECONNECT_MS;
      if (closing.signal.aborted) return;
      stopAsking = keepAsking(attempt, connection, lose);
      listener.onListening();
    } catch (error) {
      lose(error);
    }
  };
  await connect();
  return async () => {
    closing.abort();
    clearTimeout(timer);
    stopAsking?.();
    if (client) await closeQuietly(client);
  };
}

/** Asks the connection now and then whether it still answers, until the returned function is called. */
function keepAsking(
  client: Client,
  { heartbeatMs = HEARTBEAT_MS, answerMs = ANSWER_MS }: ListenConnection,
  onSilent: (error: unknown) => void,
): () => void {
  let timer: NodeJS.Timeout | undefined;
  let isStopped = false;
  const ask = async (): Promise<void> => {
    timer = setTimeout(() => onSilent(new Error("The connection that listens does not answer.")), answerMs);
    await client.query("select 1");
    clearTimeout(timer);
    if (!isStopped) askLater();
  };
  const askLater = (): void => {
    timer = setTimeout(() => void ask().catch(onSilent), heartbeatMs);
  };
  askLater();
  return () => {
    isStopped = true;
    clearTimeout(timer);
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
