import { createHash, randomBytes, randomUUID } from "node:crypto";
import { appendFile, mkdtemp, readdir, rm, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { createDiskStore } from "@pipeline/storage";
import { SignJWT } from "jose";
import { type DetailedError, Upload, type UploadOptions } from "tus-js-client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { problemSchema } from "../problems/problem.ts";
import { type CuttingProxy, openCuttingProxy } from "../testing/cutting-proxy.ts";
import {
  type Answer,
  openTestApi,
  PAGE_ORIGIN,
  type TestApi,
  UPLOAD_SECRET,
  uploadAnswer,
  uploadRequest,
} from "../testing/test-api.ts";

const MIB = 1024 * 1024;

let api: TestApi;
beforeAll(async () => {
  api = await openTestApi();
  await api.listen();
});
afterAll(() => api.close());

interface Offer {
  url: string;
  headers: Record<string, string>;
  metadata: Record<string, string>;
  path: string;
  document_id: string;
}

async function ask(body: Buffer, { user = randomUUID(), mime = "text/plain", at = api } = {}): Promise<Offer> {
  const sha256 = createHash("sha256").update(body).digest("hex");
  const request = uploadRequest({ mime, bytes_len: body.byteLength, sha256 });
  return offerOf(await at.call({ method: "POST", path: "/upload", user, body: request }));
}

function offerOf(answer: Answer): Offer {
  const { resumable, upload, document_id } = uploadAnswer.parse(answer.body);
  if (resumable === null || upload === null) throw new Error("The answer holds no offer.");
  return { ...resumable, path: upload.path, document_id };
}

/** As a frontend would send it, with nothing but what the answer says. */
function send(body: Buffer, { url, headers, metadata }: Offer, options: Partial<UploadOptions> = {}): Promise<Upload> {
  return new Promise((resolve, reject) => {
    const upload: Upload = new Upload(body, {
      endpoint: url,
      headers,
      metadata,
      chunkSize: 6 * MIB,
      retryDelays: [0, 0, 0, 0, 0],
      onSuccess: () => resolve(upload),
      onError: reject,
      ...options,
    });
    upload.start();
  });
}

const TUS = { "tus-resumable": "1.0.0" };

function encode(metadata: Record<string, string>): string {
  const pairs = Object.entries(metadata).map(([name, value]) => `${name} ${Buffer.from(value).toString("base64")}`);
  return pairs.join(",");
}

/** The POST that begins an upload; `headers` win. */
function begin(offer: Offer, length: number, headers: Record<string, string> = {}): Promise<Response> {
  const metadata = { "upload-metadata": encode(offer.metadata) };
  const all = { ...TUS, ...offer.headers, ...metadata, "upload-length": String(length), ...headers };
  return fetch(offer.url, { method: "POST", headers: all });
}

function patch(url: string, offer: Offer, part: { offset: number; body: Uint8Array<ArrayBuffer> }): Promise<Response> {
  const headers = { "content-type": "application/offset+octet-stream", "upload-offset": String(part.offset) };
  return fetch(url, { method: "PATCH", headers: { ...TUS, ...offer.headers, ...headers }, body: part.body });
}

function head(url: string, offer: Offer): Promise<Response> {
  return fetch(url, { method: "HEAD", headers: { ...TUS, ...offer.headers } });
}

async function locationOf(response: Response): Promise<string> {
  expect(response.status).toBe(201);
  return z.string().parse(response.headers.get("location"));
}

async function problemIn(response: Response): Promise<{ status: number; code: string }> {
  const { status, code } = problemSchema.parse(await response.json());
  expect(status).toBe(response.status);
  return { status, code };
}

async function readStored(path: string, from = api): Promise<Buffer> {
  return buffer(await from.storage.download(path, {}));
}

function listParts(of = api): Promise<string[]> {
  return readdir(join(of.storageDirectory, "resumable"));
}

describe("25 MiB over broken connections", () => {
  let directory: string;
  let proxy: CuttingProxy;
  let proxied: TestApi;
  let target: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "resumable-test-"));
    proxy = await openCuttingProxy(() => new URL(target), [3 * MIB, 10 * MIB, 17 * MIB]);
    const storage = createDiskStore({ directory, publicUrl: () => proxy.url, secret: UPLOAD_SECRET });
    proxied = await openTestApi({ storage });
    target = await proxied.listen();
  });
  afterAll(async () => {
    await proxied.close();
    await proxy.close();
    await rm(directory, { recursive: true });
  });

  it("arrive whole with tus-js-client, and make the job claimable", async () => {
    const user = randomUUID();
    const body = randomBytes(25 * MIB);
    const offer = await ask(body, { user, mime: "application/pdf", at: proxied });
    const upload = await send(body, offer);
    expect(proxy.cutCount()).toBe(3);
    expect(upload.url).toMatch(new RegExp(`^${proxy.url}/storage/v1/upload/resumable/sign/`));
    const { storage } = proxied.dependencies;
    const stored = await buffer(await storage.download(offer.path, {}));
    expect(stored.equals(body)).toBe(true);
    expect(await readdir(join(directory, "resumable"))).toEqual([]);
    const confirmed = await proxied.call({ method: "POST", path: `/documents/${offer.document_id}/uploaded`, user });
    expect(confirmed).toMatchObject({ status: 202, body: { state: "queued", waiting_for: null } });
  });
});

describe("a resumable upload", () => {
  const BODY = Buffer.from("twelve bytes");

  it("may carry its bytes with the request that begins it", async () => {
    const body = randomBytes(100);
    const offer = await ask(body);
    await send(body, offer, { uploadDataDuringCreation: true });
    expect(await readStored(offer.path)).toEqual(body);
  });

  it("is not there before its last byte, and leaves no parts behind then", async () => {
    const offer = await ask(BODY);
    const location = await locationOf(await begin(offer, 12));
    expect((await patch(location, offer, { offset: 0, body: new Uint8Array(BODY.subarray(0, 6)) })).status).toBe(204);
    expect(await api.storage.stat(offer.path)).toBeUndefined();
    expect((await head(location, offer)).headers.get("upload-offset")).toBe("6");
    const last = await patch(location, offer, { offset: 6, body: new Uint8Array(BODY.subarray(6)) });
    expect([last.status, last.headers.get("upload-offset")]).toEqual([204, "12"]);
    expect(await readStored(offer.path)).toEqual(BODY);
    expect((await listParts()).filter((name) => name.startsWith(offer.path.slice(0, 36)))).toEqual([]);
  });

  it("is told to be whole when it is asked after a lost answer, and refused a second time", async () => {
    const offer = await ask(BODY);
    const { url } = await send(BODY, offer);
    const again = await head(url ?? "", offer);
    expect(again.status).toBe(200);
    expect(Object.fromEntries(again.headers)).toMatchObject({ "upload-offset": "12", "upload-length": "12" });
    const received = { status: 409, code: "upload_already_received" };
    expect(await problemIn(await begin(offer, 12))).toEqual(received);
    expect(await problemIn(await patch(url ?? "", offer, { offset: 0, body: new Uint8Array(BODY) }))).toEqual(received);
  });

  it("is refused where the PUT was faster", async () => {
    const offer = await ask(BODY);
    const location = await locationOf(await begin(offer, 12));
    const put = await fetch(putUrlOf(offer), { method: "PUT", headers: { "content-type": "text/plain" }, body: BODY });
    expect(put.status).toBe(200);
    const late = await patch(location, offer, { offset: 0, body: new Uint8Array(BODY) });
    expect(await problemIn(late)).toEqual({ status: 409, code: "upload_already_received" });
  });

  it("goes on with a fresh link where an older one began", async () => {
    const user = randomUUID();
    const first = await ask(BODY, { user });
    const location = await locationOf(await begin(first, 12));
    await patch(location, first, { offset: 0, body: new Uint8Array(BODY.subarray(0, 6)) });
    const second = await ask(BODY, { user });
    expect(second.path).toBe(first.path);
    await send(BODY, second, { uploadUrl: location });
    expect(await readStored(second.path)).toEqual(BODY);
  });

  it("stores what a process that died had received whole, before it says so", async () => {
    const offer = await ask(BODY);
    const location = await locationOf(await begin(offer, 12));
    await patch(location, offer, { offset: 0, body: new Uint8Array(BODY.subarray(0, 11)) });
    // The last byte came, and the process ended before it had put the file into place.
    const part = join(api.storageDirectory, "resumable", location.split("/").at(-1) ?? "");
    await appendFile(part, BODY.subarray(11));
    expect((await head(location, offer)).headers.get("upload-offset")).toBe("12");
    expect(await readStored(offer.path)).toEqual(BODY);
  });

  it.each([
    ["another length", 13, {}, 422, "upload_length_mismatch"],
    [
      "a length that is told later",
      12,
      { "upload-defer-length": "1", "upload-length": "" },
      422,
      "upload_length_mismatch",
    ],
    ["parallel parts", 12, { "upload-concat": "partial" }, 422, "upload_concat_unsupported"],
    ["a broken token", 12, { "x-signature": "eyJ.broken.token" }, 401, "upload_link_invalid"],
    ["no token", 12, { "x-signature": "" }, 401, "upload_link_invalid"],
    ["no file", 12, { "upload-metadata": "" }, 401, "upload_link_invalid"],
    ["metadata that is none", 12, { "upload-metadata": "a b c" }, 401, "upload_link_invalid"],
  ])("is refused with %s", async (_, length, headers, status, code) => {
    const offer = await ask(BODY);
    expect(await problemIn(await begin(offer, length, headers))).toEqual({ status, code });
    await send(BODY, offer);
    expect(await readStored(offer.path)).toEqual(BODY);
  });

  it("is refused for another type, another path and another bucket", async () => {
    const offer = await ask(BODY);
    const changed = (metadata: Record<string, string>): Offer => ({
      ...offer,
      metadata: { ...offer.metadata, ...metadata },
    });
    const answers = [
      await begin(changed({ contentType: "application/pdf" }), 12),
      await begin(changed({ objectName: (await ask(randomBytes(12))).path }), 12),
      await begin(changed({ objectName: "../../etc/passwd" }), 12),
      await begin(changed({ bucketName: "private" }), 12),
    ];
    expect(await Promise.all(answers.map(problemIn))).toEqual([
      { status: 422, code: "upload_type_mismatch" },
      { status: 401, code: "upload_link_invalid" },
      { status: 401, code: "upload_link_invalid" },
      { status: 401, code: "upload_link_invalid" },
    ]);
  });

  it("is nobody's but the token's", async () => {
    const offer = await ask(BODY);
    const location = await locationOf(await begin(offer, 12));
    const stranger = await ask(BODY);
    for (const method of ["PATCH", "DELETE"]) {
      const headers = { ...TUS, ...stranger.headers, "upload-offset": "0" };
      const answer = await fetch(location, { method, headers });
      expect(await problemIn(answer)).toEqual({ status: 401, code: "upload_link_invalid" });
    }
    expect((await head(location, stranger)).status).toBe(401);
    expect((await fetch(location, { method: "DELETE", headers: { ...TUS, ...offer.headers } })).status).toBe(204);
  });

  it("ends when its link does", async () => {
    const offer = await ask(BODY);
    const claims = { url: `uploads/${offer.path}`, bytes_len: 12, mime: "text/plain", scope: "upload" };
    const token = await new SignJWT(claims)
      .setProtectedHeader({ alg: "HS256" })
      .setIssuedAt(1_700_000_000)
      .setExpirationTime(1_700_007_200)
      .sign(new TextEncoder().encode(UPLOAD_SECRET));
    const location = await locationOf(await begin(offer, 12));
    const late = { ...offer, headers: { "x-signature": token } };
    const expired = { status: 401, code: "upload_link_expired" };
    expect(await problemIn(await begin(late, 12))).toEqual(expired);
    expect(await problemIn(await patch(location, late, { offset: 0, body: new Uint8Array(BODY) }))).toEqual(expired);
  });

  it("takes no byte more than was promised", async () => {
    const offer = await ask(BODY);
    const location = await locationOf(await begin(offer, 12));
    const answer = await patch(location, offer, { offset: 0, body: new Uint8Array(13) });
    expect(answer.status).toBe(413);
    expect(await api.storage.stat(offer.path)).toBeUndefined();
  });

  it("begins anew in the place of what came before, so that one link fills the room of one file", async () => {
    const offer = await ask(BODY);
    const first = await locationOf(await begin(offer, 12));
    await patch(first, offer, { offset: 0, body: new Uint8Array(BODY.subarray(0, 6)) });
    const second = await locationOf(await begin(offer, 12));
    expect(second).toBe(first);
    expect((await head(second, offer)).headers.get("upload-offset")).toBe("0");
  });

  it("leaves nothing for good when its client gives up", async () => {
    const own = await openTestApi();
    await own.listen();
    const offer = await ask(BODY, { at: own });
    const location = await locationOf(await begin(offer, 12));
    await patch(location, offer, { offset: 0, body: new Uint8Array(BODY.subarray(0, 6)) });
    const parts = await listParts(own);
    expect(parts).toHaveLength(2);
    await own.storage.check();
    expect(await listParts(own)).toEqual(parts);
    const longAgo = new Date(Date.now() - 25 * 60 * 60 * 1_000);
    for (const name of parts) await utimes(join(own.storageDirectory, "resumable", name), longAgo, longAgo);
    await own.storage.check();
    expect(await listParts(own)).toEqual([]);
    await own.close();
  });

  it("may be sent by pages of a known origin, and by no other", async () => {
    const offer = await ask(BODY);
    const preflight = await fetch(offer.url, {
      method: "OPTIONS",
      headers: {
        origin: PAGE_ORIGIN,
        "access-control-request-method": "PATCH",
        "access-control-request-headers": "tus-resumable,upload-offset,x-signature",
      },
    });
    expect(preflight.headers.get("access-control-allow-methods")).toContain("PATCH");
    for (const name of ["tus-resumable", "upload-length", "upload-metadata", "upload-offset", "x-signature"]) {
      expect(preflight.headers.get("access-control-allow-headers")).toContain(name);
    }
    const known = await begin(offer, 12, { origin: PAGE_ORIGIN });
    expect(known.headers.get("access-control-allow-origin")).toBe(PAGE_ORIGIN);
    expect(known.headers.get("access-control-expose-headers")?.toLowerCase()).toContain("upload-offset");
    expect(known.headers.get("x-correlation-id")).not.toBeNull();
    const unknown = await begin(offer, 12, { origin: "https://elsewhere.example.test" });
    expect(unknown.headers.get("access-control-allow-origin")).not.toBe("https://elsewhere.example.test");
    expect(unknown.headers.get("access-control-allow-origin")).not.toBe("*");
  });

  it("tells its client what is wrong", async () => {
    const offer = await ask(BODY);
    const refused = send(BODY, { ...offer, headers: { "x-signature": "none" } }).catch((error: DetailedError) =>
      error.originalResponse?.getStatus(),
    );
    expect(await refused).toBe(401);
  });

  it("never leaves its token in the log", () => {
    expect(api.readLog()).toContain("/storage/v1/upload/resumable/sign/:upload_id");
    expect(api.readLog()).not.toMatch(/eyJ/);
  });
});

function putUrlOf({ url, path, headers }: Offer): string {
  const { origin } = new URL(url);
  return `${origin}/storage/v1/object/upload/sign/uploads/${path}?token=${headers["x-signature"] ?? ""}`;
}
