import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { connect } from "node:net";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createServer } from "./create-server.ts";
import { problemSchema } from "./problems/problem.ts";
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

/** A refusal as every other one is, of this connection the last. */
function parse(said: string): { status: number; code: string } {
  const [head = "", body = ""] = said.split("\r\n\r\n");
  const [line = "", ...headers] = head.toLowerCase().split("\r\n");
  const problem = problemSchema.parse(JSON.parse(body));
  expect(line).toContain(` ${problem.status} `);
  expect(headers).toEqual([
    "content-type: application/problem+json; charset=utf-8",
    `content-length: ${body.length}`,
    `x-correlation-id: ${problem.correlation_id}`,
    "connection: close",
  ]);
  return problem;
}

describe("the server", () => {
  it("ends a connection that does not bring its headers in time", async () => {
    const said = await say("GET /health/live HTTP/1.1\r\nhost: x\r\nx-slow: ");
    expect(parse(said)).toMatchObject({ status: 408, code: "request_timeout" });
  });

  it("refuses headers of more than 16 KiB", async () => {
    const headers = `host: x\r\nx-large: ${"a".repeat(20_000)}`;
    const said = await say(`GET /health/live HTTP/1.1\r\n${headers}\r\n\r\n`);
    expect(parse(said)).toMatchObject({ status: 431, code: "headers_too_large" });
  });

  it.each([
    ["a method that there is not", "LOOK /health/live HTTP/1.1\r\nhost: x\r\n\r\n"],
    ["no HTTP at all", "\u0016\u0003\u0001 hello\r\n\r\n"],
    ["two lengths", "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n"],
  ])("refuses %s", async (_, bytes) => {
    expect(parse(await say(bytes))).toMatchObject({ status: 400, code: "bad_request" });
  });

  it("puts no refusal into the midst of an answer that has begun", async () => {
    const app = createServer(api.dependencies.settings, { receiveUploads: false });
    let answer: ServerResponse | undefined;
    app.get("/", (_, reply) => {
      answer = reply.raw;
      const body = new PassThrough();
      body.write("the first part");
      return reply.send(body);
    });
    const socket = connect(Number(new URL(await app.listen({ host: "127.0.0.1", port: 0 })).port), "127.0.0.1");
    const said = text(socket);
    socket.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    await expect.poll(() => answer?.headersSent).toBe(true);
    socket.write("\u0016\u0003\r\n\r\n");
    expect((await said).match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 200"]);
    await app.close();
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
