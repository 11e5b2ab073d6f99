import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import { text } from "node:stream/consumers";

export interface Callback {
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
}

/** Whoever LlamaParse calls back. */
export interface Receiver {
  url: string;
  received: Callback[];
  /** What the next callbacks are answered, oldest first; 200 when nothing is left. */
  statuses: number[];
  close(): Promise<void>;
}

export async function startReceiver(): Promise<Receiver> {
  const receiver: Receiver = {
    url: "",
    received: [],
    statuses: [],
    close: async () => {
      server.close();
      server.closeAllConnections();
      if (server.listening) await once(server, "close");
    },
  };
  const receive = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await text(request);
    receiver.received.push({ path: request.url ?? "", headers: request.headers, body });
    response.writeHead(receiver.statuses.shift() ?? 200).end();
  };
  const server = createServer((request, response) => void receive(request, response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("The receiver has no port.");
  receiver.url = `http://127.0.0.1:${address.port}`;
  return receiver;
}
