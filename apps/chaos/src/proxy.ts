import { once } from "node:events";
import { createConnection, createServer, type Socket } from "node:net";

/** Between one worker and the server: a wire that can go dead without being cut. */
export interface Proxy {
  /** The server's URL, by way of this proxy. */
  url: string;
  /** From now on nothing passes and nothing is closed; new connections are accepted and lead nowhere. */
  block(): void;
  /** Lets what was held back pass. */
  unblock(): void;
  close(): Promise<void>;
}

/** Listens on the loopback interface only. */
export async function startProxy(serverUrl: string): Promise<Proxy> {
  const target = new URL(serverUrl);
  const sockets = new Set<Socket>();
  let isBlocked = false;

  const keep = (socket: Socket, other: Socket): void => {
    sockets.add(socket);
    socket.on("data", (bytes) => other.write(bytes));
    // An error is followed by "close".
    socket.on("error", () => undefined);
    socket.on("close", () => {
      sockets.delete(socket);
      other.destroy();
    });
    if (isBlocked) socket.pause();
  };
  const server = createServer((client) => {
    const upstream = createConnection({ host: target.hostname, port: Number(target.port || "5432") });
    keep(client, upstream);
    keep(upstream, client);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = new URL(serverUrl);
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("The proxy has no port.");
  url.hostname = "127.0.0.1";
  url.port = String(address.port);
  return {
    url: url.toString(),
    block: () => {
      isBlocked = true;
      for (const socket of sockets) socket.pause();
    },
    unblock: () => {
      isBlocked = false;
      for (const socket of sockets) socket.resume();
    },
    close: async () => {
      server.close();
      for (const socket of sockets) socket.destroy();
      if (server.listening) await once(server, "close");
    },
  };
}
