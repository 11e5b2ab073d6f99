import { randomUUID } from "node:crypto";
import { request } from "node:http";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { problemSchema } from "../problems/problem.ts";
import { linkOf, openTestApi, PAGE_ORIGIN, UPLOAD_SECRET, uploadRequest, type TestApi } from "../testing/test-api.ts";

const BYTES = "twelve bytes";

let api: TestApi;
beforeAll(async () => {
  api = await openTestApi();
  await api.listen();
});
afterAll(() => api.close());

async function openLink(overrides: Record<string, unknown> = {}) {
  const body = uploadRequest(overrides);
  const answer = await api.call({ method: "POST", path: "/upload", user: randomUUID(), body });
  return linkOf(answer);
}

interface PutOptions {
  body?: string | Uint8Array | Readable;
  headers?: Record<string, string>;
}

function put(url: string, { body = BYTES, headers = { "content-type": "text/plain" } }: PutOptions = {}) {
  const init: RequestInit & { duplex: "half" } = {
    method: "PUT",
    headers,
    body: body instanceof Readable ? Readable.toWeb(body) : body,
    duplex: "half",
  };
  return fetch(url, init);
}

async function problemIn(response: Response) {
  expect(response.headers.get("content-type")).toBe("application/problem+json; charset=utf-8");
  const body = problemSchema.parse(await response.json());
  expect(body.status).toBe(response.status);
  expect(body.correlation_id).toBe(response.headers.get("x-correlation-id"));
  return { status: body.status, code: body.code };
}

async function readStored(path: string): Promise<string> {
  return (await buffer(await api.storage.download(path, {}))).toString();
}

describe("PUT to an upload link", () => {
  it("stores the bytes and answers as Supabase Storage does", async () => {
    const link = await openLink();
    const response = await put(link.url, { headers: link.headers });
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ Key: `uploads/${link.path}` });
    expect(await readStored(link.path)).toBe(BYTES);
  });

  it("takes JSON and files far above the limit of request bodies as they are", async () => {
    const json = await openLink({ mime: "text/html", bytes_len: 2 });
    expect((await put(json.url, { body: "{}", headers: { "content-type": "text/html" } })).status).toBe(200);
    const bytes = Buffer.alloc(25 * 1024 * 1024, 7);
    const large = await openLink({ mime: "application/pdf", bytes_len: bytes.byteLength });
    expect((await put(large.url, { body: bytes, headers: large.headers })).status).toBe(200);
    expect(await api.storage.stat(large.path)).toEqual({ bytes_len: bytes.byteLength });
  });

  it("takes a body without a content type, and one of unknown length", async () => {
    const bare = await openLink();
    expect((await put(bare.url, { body: Buffer.from(BYTES), headers: {} })).status).toBe(200);
    const streamed = await openLink();
    expect((await put(streamed.url, { body: Readable.from([Buffer.from(BYTES)]) })).status).toBe(200);
    expect(await readStored(streamed.path)).toBe(BYTES);
  });

  it("may be sent by pages of a known origin", async () => {
    const link = await openLink();
    const response = await put(link.url, { headers: { ...link.headers, origin: PAGE_ORIGIN } });
    expect(response.status).toBe(200);
    expect(response.headers.get("access-control-allow-origin")).toBe(PAGE_ORIGIN);
  });

  it("is refused the second time", async () => {
    const link = await openLink();
    await put(link.url);
    expect(await problemIn(await put(link.url))).toEqual({ status: 409, code: "upload_already_received" });
  });

  it.each([
    ["of another type", { headers: { "content-type": "application/pdf" } }, 422, "upload_type_mismatch"],
    ["of another length", { body: "short" }, 422, "upload_length_mismatch"],
    ["that turns out shorter", { body: Readable.from([Buffer.from("short")]) }, 422, "upload_length_mismatch"],
    ["that turns out longer", { body: Readable.from([Buffer.alloc(13)]) }, 413, "upload_too_large"],
  ] satisfies [string, PutOptions, number, string][])("is refused with a body %s", async (_, options, status, code) => {
    const link = await openLink();
    expect(await problemIn(await put(link.url, options))).toEqual({ status, code });
    expect(await api.storage.stat(link.path)).toBeUndefined();
    expect((await put(link.url)).status).toBe(200);
  });

  it.each([
    ["without a token", (url: string) => url.replace(/\?.*$/, "")],
    ["with two tokens", (url: string) => `${url}&token=x`],
    ["with a broken token", (url: string) => url.slice(0, -3)],
    ["with the token of another path", (url: string) => url.replace(/[0-9a-f-]{36}\?/, `${randomUUID()}?`)],
    ["with a path that climbs", (url: string) => url.replace(/[0-9a-f-]{36}\?/, "..%2f..%2fetc?")],
    ["into another bucket", (url: string) => url.replace("/uploads/", "/private/")],
  ])("is refused %s", async (_, spoil) => {
    const link = await openLink();
    const response = await put(spoil(link.url));
    expect(response.headers.get("www-authenticate")).toBe("Bearer");
    expect(await problemIn(response)).toEqual({ status: 401, code: "upload_link_invalid" });
    expect(await api.storage.stat(link.path)).toBeUndefined();
  });

  it("is refused once the link has expired", async () => {
    const link = await openLink();
    const token = await new SignJWT({ url: `uploads/${link.path}`, bytes_len: 12, mime: "text/plain", scope: "upload" })
      .setProtectedHeader({ alg: "HS256" })
      .setIssuedAt(1_700_000_000)
      .setExpirationTime(1_700_007_200)
      .sign(new TextEncoder().encode(UPLOAD_SECRET));
    const response = await put(link.url.replace(/token=.*$/, `token=${token}`));
    expect(await problemIn(response)).toEqual({ status: 401, code: "upload_link_expired" });
  });

  it("leaves nothing when the connection ends halfway, and can be sent again", async () => {
    const link = await openLink();
    const correlation = randomUUID();
    const broken = request(link.url, {
      method: "PUT",
      headers: { "content-type": "text/plain", "content-length": "12", "x-correlation-id": correlation },
    });
    broken.on("error", () => undefined);
    broken.write("twelve", () => broken.destroy());
    const line = z.looseObject({ aborted: z.literal(true), status: z.null() });
    await vi.waitFor(() => {
      const found = api
        .readLog()
        .split("\n")
        .find((text) => text.includes(correlation));
      line.parse(JSON.parse(found ?? "{}"));
    }, 10_000);
    expect(await api.storage.stat(link.path)).toBeUndefined();
    expect((await put(link.url)).status).toBe(200);
  });

  it("never leaves its token in the log", () => {
    expect(api.readLog()).toContain("/storage/v1/object/upload/sign/:bucket/*");
    expect(api.readLog()).not.toMatch(/token=|eyJ/);
  });
});
