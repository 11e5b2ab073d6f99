import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { stat } from "node:fs/promises";
import { Agent, type ClientRequest, type IncomingMessage, request, type RequestOptions } from "node:http";
import { json, text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { SignedUpload } from "./object-store.ts";
import { putWithFetch, type UploadBody } from "./object-store.suite.ts";
import { openUploadServer, type UploadServer } from "./upload-server.fixture.ts";

let server: UploadServer;
beforeEach(async () => {
  server = await openUploadServer();
});
afterEach(() => server.close());

const sign = (bytes_len: number, mime = "text/plain") =>
  server.store.signUpload({ key: `${randomUUID()}/${randomUUID()}`, mime, bytes_len, expiresInSeconds: 60 });

async function put(upload: SignedUpload, body: UploadBody, headers: Record<string, string> = {}) {
  const response = await putWithFetch(upload, body, headers);
  const answer: unknown = await response.json();
  return { status: response.status, answer };
}

/** A request whose body the test writes piece by piece. */
function openPut(upload: SignedUpload, options: Pick<RequestOptions, "agent" | "headers"> = {}): ClientRequest {
  const sender = request(upload.url, { method: "PUT", ...options });
  sender.on("error", () => {}); // the tests that break the connection look at the server's side
  sender.flushHeaders();
  return sender;
}

async function answerTo(sender: ClientRequest): Promise<{ status: number | undefined; answer: unknown }> {
  const [response]: IncomingMessage[] = await once(sender, "response");
  return { status: response?.statusCode, answer: response === undefined ? undefined : await json(response) };
}

async function sizesOfFiles(): Promise<number[]> {
  const sizes: number[] = [];
  for (const path of await server.listFiles()) sizes.push((await stat(path)).size);
  return sizes;
}

describe("a PUT to a signed link", () => {
  it("answers with the key and the length, and stores one file", async () => {
    const upload = await sign(5);
    expect(await put(upload, Buffer.from("hello"))).toEqual({
      status: 200,
      answer: { key: upload.path, bytes_len: 5 },
    });
    expect(await text(await server.store.download(upload.path, {}))).toBe("hello");
    expect(await server.listFiles()).toHaveLength(1);
  });

  it("may be an empty file when that was promised", async () => {
    const upload = await sign(0);
    expect(await put(upload, Buffer.alloc(0))).toMatchObject({ status: 200 });
    expect(await server.store.stat(upload.path)).toEqual({ bytes_len: 0 });
  });

  it.each(["text/plain;charset=UTF-8", "TEXT/PLAIN", "text/plain ; format=flowed"])(
    "may declare its type as %s when text/plain was promised",
    async (type) => {
      expect(await put(await sign(5), Buffer.from("hello"), { "content-type": type })).toMatchObject({ status: 200 });
    },
  );

  it("may declare no type", async () => {
    const upload = await sign(5);
    const sender = openPut(upload, { headers: { "content-length": "5" } });
    sender.end("hello");
    expect(await answerTo(sender)).toMatchObject({ status: 200 });
  });

  it.each(["application/pdf", "text/plainer", "multipart/mixed; boundary=x"])(
    "is refused when it declares %s instead of text/plain",
    async (type) => {
      const answer = await put(await sign(5), Buffer.from("hello"), { "content-type": type });
      expect(answer).toEqual({ status: 400, answer: { code: "upload_type_mismatch" } });
      expect(await server.listFiles()).toEqual([]);
    },
  );

  it("is refused by its declared length before its body is read", async () => {
    for (const length of ["4", "6"]) {
      const sender = openPut(await sign(5), { headers: { "content-length": length } });
      expect(await answerTo(sender)).toEqual({ status: 400, answer: { code: "upload_length_mismatch" } });
      sender.destroy();
    }
    expect(await server.listFiles()).toEqual([]);
  });

  it("is refused when an undeclared body turns out too short", async () => {
    const sender = openPut(await sign(5));
    sender.end("four");
    expect(await answerTo(sender)).toEqual({ status: 400, answer: { code: "upload_length_mismatch" } });
    expect(await server.listFiles()).toEqual([]);
  });

  it("is refused as soon as an undeclared body is too long, while it is still being sent", async () => {
    const sender = openPut(await sign(5));
    sender.write("hello!");
    expect(await answerTo(sender)).toEqual({ status: 413, answer: { code: "upload_too_large" } });
    expect(await server.listFiles()).toEqual([]);
    sender.destroy();
  });

  it("leaves the connection usable when it is refused, however long its body is", async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const tooLong = openPut(await sign(5), { agent });
    tooLong.end(Buffer.alloc(4_000_000));
    expect(await answerTo(tooLong)).toEqual({ status: 413, answer: { code: "upload_too_large" } });
    const port = tooLong.socket?.localPort;
    const next = openPut(await sign(5), { agent });
    next.end("hello");
    expect(await answerTo(next)).toMatchObject({ status: 200 });
    expect(next.socket?.localPort).toBe(port);
    agent.destroy();
  });

  it("may follow a refused one on the same link", async () => {
    const upload = await sign(5);
    expect(await put(upload, Buffer.from("four"))).toMatchObject({ status: 400 });
    expect(await put(upload, Buffer.from("hello"))).toMatchObject({ status: 200 });
  });

  it("is cut off when a refused body has no end", async () => {
    const sender = openPut(await sign(5));
    const block = Buffer.alloc(1024 * 1024);
    const closed = new Promise((done) => {
      sender.once("close", done);
    });
    const send = () => {
      if (!sender.destroyed) sender.write(block, send);
    };
    send();
    await closed;
    expect(server.outcomes).toEqual(["upload_too_large"]);
  });

  it("is refused with the code of an invalid link", async () => {
    const upload = await sign(5);
    const forged = { ...upload, url: `${upload.url}x` };
    expect(await put(forged, Buffer.from("hello"))).toEqual({ status: 401, answer: { code: "upload_link_invalid" } });
    expect(await server.listFiles()).toEqual([]);
  });

  it("goes to the disk while it arrives, and leaves nothing there when the connection drops", async () => {
    const upload = await sign(200_000);
    const sender = openPut(upload, { headers: { "content-length": "200000" } });
    sender.write(Buffer.alloc(100_000));
    await vi.waitFor(async () => expect(await sizesOfFiles()).toEqual([100_000]));
    expect(await server.store.stat(upload.path)).toBeUndefined();
    sender.destroy();
    await vi.waitFor(() => expect(server.outcomes).toEqual(["upload_interrupted"]));
    expect(await server.listFiles()).toEqual([]);
  });

  it("is stored once when twenty arrive side by side for the same link", async () => {
    const upload = await sign(20);
    const senders = Array.from({ length: 20 }, () => openPut(upload));
    for (const sender of senders) sender.write("0123456789");
    // All are past the look at the final name: only the link decides.
    await vi.waitFor(async () => expect(await sizesOfFiles()).toEqual(Array.from({ length: 20 }, () => 10)));
    const answers = senders.map(answerTo);
    for (const [index, sender] of senders.entries()) sender.end(`sender ${index}`.padEnd(10));
    const settled = await Promise.all(answers);
    const winner = settled.findIndex(({ status }) => status === 200);
    const others = settled.filter((_, index) => index !== winner);
    expect(others).toEqual(others.map(() => ({ status: 409, answer: { code: "upload_already_received" } })));
    expect(await text(await server.store.download(upload.path, {}))).toBe(`0123456789${`sender ${winner}`.padEnd(10)}`);
    expect(await server.listFiles()).toHaveLength(1);
  });

  it("is stored while other objects of the same document come and go", async () => {
    const document = randomUUID();
    const input = { mime: "text/plain", bytes_len: 5, expiresInSeconds: 60 };
    const rounds = Array.from({ length: 40 }, async () => {
      const key = `${document}/${randomUUID()}`;
      const upload = await server.store.signUpload({ ...input, key });
      expect(await put(upload, Buffer.from("hello"))).toMatchObject({ status: 200 });
      await server.store.remove([key]);
    });
    await Promise.all(rounds);
    expect(await server.listFiles()).toEqual([]);
  });
});
