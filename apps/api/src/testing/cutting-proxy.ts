import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { z } from "zod";

/** A way to a server on which connections break. */
export interface CuttingProxy {
  url: string;
  /** How many connections it has broken. */
  cutCount(): number;
  close(): Promise<void>;
}

/** Breaks a connection each time that so many more bytes have gone to the server, over all connections together. */
export async function openCuttingProxy(target: () => URL, cutAfterBytes: readonly number[]): Promise<CuttingProxy> {
  const left = [...cutAfterBytes];
  const sockets = new Set<Socket>();
  let passed = 0;
  const server = createServer((client) => {
    const { hostname, port } = target();
    const upstream = connect(Number(port), hostname);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
      // A broken connection is what this is for.
      socket.on("error", () => undefined);
    }
    upstream.pipe(client);
    upstream.on("close", () => client.destroy());
    client.on("close", () => upstream.destroy());
    client.on("data", (bytes: Buffer) => {
      passed += bytes.byteLength;
      const [next = Number.POSITIVE_INFINITY] = left;
      if (passed >= next) {
        left.shift();
        client.destroy();
      } else if (!upstream.write(bytes)) {
        client.pause();
        upstream.once("drain", () => client.resume());
      }
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = z.object({ port: z.int() }).parse(server.address());
  return {
    url: `http://127.0.0.1:${port}`,
    cutCount: () => cutAfterBytes.length - left.length,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
