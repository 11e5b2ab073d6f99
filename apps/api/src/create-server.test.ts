import { once } from "node:events";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openTestApi, type TestApi } from "./testing/test-api.ts";

let api: TestApi;
let port: number;
beforeAll(async () => {
  api = await openTestApi({}, { headersTimeoutMs: 300 });
  port = Number(new URL(await api.listen()).port);
});
afterAll(() => api.close());

/** What the server says to these bytes until it ends the connection. */
async function say(bytes: string): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  socket.write(bytes);
  return text(socket);
}

describe("the server", () => {
  it("ends a connection that does not bring its headers in time", async () => {
    expect(await say("GET /health/live HTTP/1.1\r\nhost: x\r\nx-slow: ")).toMatch(/^HTTP\/1.1 408 /);
  });

  it("refuses headers of more than 16 KiB", async () => {
    const headers = `host: x\r\nx-large: ${"a".repeat(17_000)}`;
    expect(await say(`GET /health/live HTTP/1.1\r\n${headers}\r\n\r\n`)).toMatch(/^HTTP\/1.1 431 /);
  });

  it("sends helmet's headers with answers and refusals", async () => {
    for (const path of ["root:/health/live", "/documents", "root:/nowhere"]) {
      expect((await api.call({ path })).headers).toMatchObject({
        "x-content-type-options": "nosniff",
        "x-frame-options": "SAMEORIGIN",
        "strict-transport-security": expect.stringContaining("max-age="),
        "content-security-policy": expect.stringContaining("default-src"),
      });
    }
  });
});
