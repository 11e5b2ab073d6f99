import { Client } from "pg";
import { quoteIdentifier } from "./quote-identifier.ts";

export interface Listener {
  url: string;
  applicationName: string;
  channel: string;
  connectTimeoutMs: number;
  onNotify: () => void;
  onLost: (error: unknown) => void;
}

const RECONNECT_MS = 2_000;

/** LISTEN needs a session of its own; when it is lost it is opened again, and polling covers the gap. */
export async function listenOnOwnConnection(listener: Listener): Promise<() => Promise<void>> {
  const closing = new AbortController();
  let client: Client | undefined;
  let timer: NodeJS.Timeout | undefined;

  const connect = async (): Promise<void> => {
    const attempt = openClient(listener);
    client = attempt;
    let isLost = false;
    const lose = (error: unknown): void => {
      if (isLost || closing.signal.aborted) return;
      isLost = true;
      void closeQuietly(attempt);
      listener.onLost(error);
      timer = setTimeout(() => void connect(), RECONNECT_MS);
    };
    attempt.on("error", lose);
    attempt.on("end", () => lose(new Error("connection ended")));
    attempt.on("notification", listener.onNotify);
    try {
      await attempt.connect();
      await attempt.query(`listen ${quoteIdentifier(listener.channel)}`);
      // Whatever was announced while nobody listened is covered by one wake-up now.
      if (!closing.signal.aborted) listener.onNotify();
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

function openClient(listener: Listener): Client {
  return new Client({
    connectionString: listener.url,
    application_name: `${listener.applicationName} listen`,
    connectionTimeoutMillis: listener.connectTimeoutMs,
    keepAlive: true,
  });
}

/** A connection that is already lost may fail to close; there is nothing left to do about it. */
async function closeQuietly(client: Client): Promise<void> {
  await client.end().catch(() => undefined);
}
