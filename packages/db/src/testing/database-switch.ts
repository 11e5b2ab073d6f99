import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { z } from "zod";

/** Stands before a database server, and can make it look stopped. */
export interface DatabaseSwitch {
  /** The database's, by way of the switch. */
  url: string;
  /** Ends every connection and lets nobody connect. */
  cut(): Promise<void>;
  restore(): Promise<void>;
  /** Connections of now stay open, but nothing passes on them any more. */
  freeze(): void;
  close(): Promise<void>;
}

export async function openDatabaseSwitch(databaseUrl: string): Promise<DatabaseSwitch> {
  const target = new URL(databaseUrl);
  const sockets = new Set<Socket>();
  let server: Server | undefined;

  const listen = async (port: number): Promise<number> => {
    server = createServer((client) => join(client, target, sockets)).listen(port, "127.0.0.1");
    await once(server, "listening");
    return z.object({ port: z.number() }).parse(server.address()).port;
  };
  const cut = async (): Promise<void> => {
    const closing = server;
    server = undefined;
    closing?.close();
    for (const socket of sockets) socket.destroy();
    if (closing) await once(closing, "close");
  };
  const port = await listen(0);
  const url = new URL(databaseUrl);
  url.host = `127.0.0.1:${port}`;
  return {
    url: url.toString(),
    cut,
    restore: async () => {
      await listen(port);
    },
    freeze: () => {
      for (const socket of sockets) socket.unpipe().pause();
    },
    close: cut,
  };
}

function join(client: Socket, target: URL, sockets: Set<Socket>): void {
  const upstream = connect(Number(target.port), target.hostname);
  for (const [socket, other] of [
    [client, upstream],
    [upstream, client],
  ] satisfies [Socket, Socket][]) {
    sockets.add(socket);
    socket.pipe(other);
    // Broken connections are what this is for.
    socket.on("error", () => undefined);
    socket.on("close", () => {
      sockets.delete(socket);
      other.destroy();
    });
  }
}
