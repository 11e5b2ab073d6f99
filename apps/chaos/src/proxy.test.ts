import { once } from "node:events";
import { createConnection, createServer, type Socket } from "node:net";
import { expect, test } from "vitest";
import { startProxy } from "./proxy.ts";

async function startEcho() {
  const server = createServer((socket) => socket.pipe(socket)).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("The server has no port.");
  return { server, url: `postgresql://127.0.0.1:${address.port}/any` };
}

async function say(socket: Socket, text: string): Promise<string> {
  const answered = once(socket.setEncoding("utf8"), "data");
  socket.write(text);
  const [answer]: unknown[] = await answered;
  return String(answer);
}

test("a blocked proxy carries nothing and closes nothing, and afterwards delivers what it held back", async () => {
  const { server, url } = await startEcho();
  const proxy = await startProxy(url);
  const socket = createConnection(Number(new URL(proxy.url).port), "127.0.0.1");
  expect(await say(socket, "before")).toBe("before");
  proxy.block();
  let arrived = "";
  socket.on("data", (text) => {
    arrived += String(text);
  });
  socket.write("late");
  // A connection that is not blocked answers meanwhile.
  const direct = createConnection(Number(new URL(url).port), "127.0.0.1");
  expect(await say(direct, "direct")).toBe("direct");
  expect(arrived).toBe("");
  expect(socket.destroyed).toBe(false);
  proxy.unblock();
  await expect.poll(() => arrived).toBe("late");
  direct.destroy();
  await proxy.close();
  server.close();
});
