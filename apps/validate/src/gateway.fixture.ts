import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type OutgoingHttpHeaders, request } from "node:http";

/** What stands before a deployment and changes what passes. */
export interface Gateway {
  url: string;
  close(): Promise<void>;
}

export interface GatewayFaults {
  onRequest?: (headers: IncomingHttpHeaders) => void;
  onAnswer?: (headers: OutgoingHttpHeaders) => void;
}

export async function openGateway(target: string, faults: GatewayFaults): Promise<Gateway> {
  const server = createServer((incoming, outgoing) => {
    faults.onRequest?.(incoming.headers);
    const { method, headers } = incoming;
    const passed = request(`${target}${incoming.url ?? ""}`, { method, headers }, (answer) => {
      const answered = { ...answer.headers };
      faults.onAnswer?.(answered);
      outgoing.writeHead(answer.statusCode ?? 502, answered);
      answer.pipe(outgoing);
    });
    passed.on("error", () => outgoing.destroy());
    incoming.pipe(passed);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("The gateway has no port.");
  return {
    url: `http://127.0.0.1:${address.port}`,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
