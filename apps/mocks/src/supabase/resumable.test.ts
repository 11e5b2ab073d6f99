import { createHash, randomBytes } from "node:crypto";
import { createClient } from "@supabase/supabase-js";
import { SignJWT } from "jose";
import { type DetailedError, Upload, type UploadOptions } from "tus-js-client";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startSupabase, type SupabaseEmulator } from "./start-supabase.ts";

const BUCKET = "files";
const MIB = 1024 * 1024;
const PATCH = "PATCH /storage/v1/upload/resumable{/sign}?/:id";
const POST = "POST /storage/v1/upload/resumable{/sign}?";

describe("a resumable upload to the emulated storage", () => {
  let emulator: SupabaseEmulator;
  beforeEach(async () => {
    emulator = await startSupabase();
    await storage().createBucket(BUCKET, {
      public: false,
      fileSizeLimit: 25 * MIB,
      allowedMimeTypes: ["application/pdf"],
    });
  });
  afterEach(() => emulator.close());

  const storage = () => createClient(emulator.url, emulator.serviceRoleKey).storage;
  const files = () => storage().from(BUCKET);
  const sign = async (path: string) => {
    const { data, error } = await files().createSignedUploadUrl(path);
    if (error !== null) throw error;
    return data.token;
  };
  const uploadTo = (path: string, token: string, options: Partial<UploadOptions> = {}): UploadOptions => ({
    endpoint: `${emulator.url}/storage/v1/upload/resumable/sign`,
    headers: { "x-signature": token },
    metadata: { bucketName: BUCKET, objectName: path, contentType: "application/pdf", cacheControl: "3600" },
    chunkSize: 6 * MIB,
    retryDelays: [0, 0, 0],
    ...options,
  });

  it.each([true, false])(
    "brings 25 MiB whole over three broken connections (first piece with creation: %s)",
    async (isAtOnce) => {
      const body = randomBytes(25 * MIB);
      const token = await sign("large.pdf");
      emulator.failNext("cut_upload", { route: PATCH, times: 3 });
      await send(body, uploadTo("large.pdf", token, { uploadDataDuringCreation: isAtOnce }));
      expect(emulator.stats()).toMatchObject({ object_count: 1, bytes: 25 * MIB, faults: { cut_upload: 3 } });
      const { data } = await files().download("large.pdf");
      const stored = Buffer.from(await (data ?? new Blob([])).arrayBuffer());
      expect(sha256(stored)).toBe(sha256(body));
      expect((await files().info("large.pdf")).data).toMatchObject({
        contentType: "application/pdf",
        cacheControl: "max-age=3600",
      });
    },
  );

  it("goes on where another process has stopped", async () => {
    const body = randomBytes(8 * MIB);
    const token = await sign("later.pdf");
    let url = "";
    const first = new Upload(
      body,
      uploadTo("later.pdf", token, {
        onUploadUrlAvailable: () => {
          url = first.url ?? "";
        },
      }),
    );
    await new Promise<void>((resolve, reject) => {
      first.options.onChunkComplete = () => {
        first.abort().then(resolve, reject);
      };
      first.start();
    });
    const before = emulator.stats().requests[PATCH];
    await send(body, uploadTo("later.pdf", token, { uploadUrl: url }));
    expect(emulator.stats().requests).toMatchObject({ [POST]: 1, [PATCH]: (before ?? 0) + 1 });
    expect(emulator.stats().bytes).toBe(8 * MIB);
  });

  it("sends every answer that the protocol promises", async () => {
    const token = await sign("steps.pdf");
    const created = await create(token, { length: 3, path: "steps.pdf" });
    expect(created.status).toBe(201);
    expect(Object.fromEntries(created.headers)).toMatchObject({
      "tus-resumable": "1.0.0",
      "upload-offset": "0",
      "access-control-allow-origin": "*",
      "access-control-expose-headers": expect.stringContaining("Upload-Offset"),
    });
    const location = created.headers.get("location") ?? "";
    expect(location).toMatch(/^http:.*\/storage\/v1\/upload\/resumable\/sign\/[\w-]+$/u);
    const first = await patch(location, token, { offset: 0, body: "ab" });
    expect(first.status).toBe(400); // 2 bytes of 3 are neither a piece of 6 MiB nor the last one
    const head = await fetch(location, { method: "HEAD", headers: { ...TUS, "x-signature": token } });
    expect(Object.fromEntries(head.headers)).toMatchObject({
      "upload-offset": "0",
      "upload-length": "3",
      "cache-control": "no-store",
    });
    const last = await patch(location, token, { offset: 0, body: "abc" });
    expect(last.status).toBe(204);
    expect(Object.fromEntries(last.headers)).toMatchObject({ "upload-offset": "3", "tus-complete": "1" });
    const ended = await fetch(location, { method: "DELETE", headers: { ...TUS, "x-signature": token } });
    expect(ended.status).toBe(400);
  });

  it("gives up an upload for good when it is terminated", async () => {
    const token = await sign("gone.pdf");
    const location = (await create(token, { length: 3, path: "gone.pdf" })).headers.get("location") ?? "";
    const ended = await fetch(location, { method: "DELETE", headers: { ...TUS, "x-signature": token } });
    expect(ended.status).toBe(204);
    expect((await patch(location, token, { offset: 0, body: "abc" })).status).toBe(404);
  });

  it("gives out addresses that begin with https in production, whatever it was asked by", async () => {
    const hosted = await startSupabase({ isProduction: true, jwtSecret: emulator.jwtSecret });
    await createClient(hosted.url, hosted.serviceRoleKey).storage.createBucket(BUCKET);
    const created = await create(await sign("a.pdf"), { length: 3, path: "a.pdf", url: hosted.url });
    expect(created.headers.get("location")).toMatch(/^https:/u);
    await hosted.close();
  });

  it("refuses an offset that is not the one it has reached", async () => {
    const token = await sign("offset.pdf");
    const location = (await create(token, { length: 3, path: "offset.pdf" })).headers.get("location") ?? "";
    expect((await patch(location, token, { offset: 1, body: "bc" })).status).toBe(409);
    expect((await patch(location, token, { offset: 0, body: "abcd" })).status).toBe(413);
  });

  it("tells an upload that is too old from one that never was", async () => {
    const old = await startSupabase({ resumableSeconds: 0, jwtSecret: emulator.jwtSecret });
    await createClient(old.url, old.serviceRoleKey).storage.createBucket(BUCKET);
    const token = await sign("old.pdf");
    const created = await create(token, { length: 3, path: "old.pdf", url: old.url });
    expect((await patch(created.headers.get("location") ?? "", token, { offset: 0, body: "abc" })).status).toBe(410);
    await old.close();
  });

  it.each([
    ["a file over the bucket's limit", { length: 25 * MIB + 1 }, 413, "Maximum size exceeded\n"],
    ["another type", { type: "image/png" }, 415, "mime type image/png is not supported"],
    ["a key that it cannot hold", { path: "ü.pdf" }, 400, "Invalid key: ü.pdf"],
    ["another path than the token's", { path: "other.pdf" }, 400, "Invalid signature"],
    ["another bucket", { bucket: "none" }, 404, "Bucket not found"],
  ])("refuses %s in plain text", async (_, differing, status, text) => {
    const answer = await create(await sign("mine.pdf"), { length: 3, path: "mine.pdf", ...differing });
    expect({ status: answer.status, text: await answer.text() }).toEqual({ status, text });
    expect(answer.headers.get("content-type")).toContain("text/plain");
  });

  it("asks for the token with every request, and takes none whose time is over", async () => {
    const token = await sign("mine.pdf");
    const location = (await create(token, { length: 3, path: "mine.pdf" })).headers.get("location") ?? "";
    const bare = await fetch(location, { method: "HEAD", headers: TUS });
    expect(bare.status).toBe(400);
    const late = await new SignJWT({ url: `${BUCKET}/mine.pdf`, upsert: false, scope: "upload" })
      .setProtectedHeader({ alg: "HS256" })
      .setExpirationTime("1 second ago")
      .sign(new TextEncoder().encode(emulator.jwtSecret));
    expect((await patch(location, late, { offset: 0, body: "abc" })).status).toBe(400);
  });

  it("takes the service's own uploads on the plain route, but not over a file", async () => {
    const options = {
      endpoint: `${emulator.url}/storage/v1/upload/resumable`,
      headers: { authorization: `Bearer ${emulator.serviceRoleKey}` },
    };
    await send(Buffer.from("first"), uploadTo("own.pdf", "", options));
    await expect(send(Buffer.from("other"), uploadTo("own.pdf", "", options))).rejects.toMatchObject({
      originalResponse: expect.objectContaining({}),
      message: expect.stringContaining("response code: 409"),
    });
    const strangers = { ...options, headers: { authorization: `Bearer ${emulator.anonKey}` } };
    await expect(send(Buffer.from("x"), uploadTo("new.pdf", "", strangers))).rejects.toThrow("response code: 403");
  });

  it("replaces a stored file by a token that a plain PUT could not use again", async () => {
    const token = await sign("same.pdf");
    await files().uploadToSignedUrl("same.pdf", token, Buffer.from("first"), { contentType: "application/pdf" });
    await send(Buffer.from("other"), uploadTo("same.pdf", token));
    expect(await (await files().download("same.pdf")).data?.text()).toBe("other");
  });

  it("tells what it can do to whoever asks, and answers a browser's preflight", async () => {
    const url = `${emulator.url}/storage/v1/upload/resumable/sign`;
    const asked = await fetch(url, { method: "OPTIONS" });
    expect(asked.status).toBe(204);
    expect(asked.headers.get("tus-extension")).toContain("creation-with-upload");
    const headers = { origin: "https://app.example.com", "access-control-request-method": "PATCH" };
    const preflight = await fetch(`${url}/some-upload`, { method: "OPTIONS", headers });
    expect(preflight.status).toBe(200);
    expect(preflight.headers.get("access-control-allow-methods")).toContain("PATCH");
  });

  const create = (
    token: string,
    upload: { length: number; path: string; bucket?: string; type?: string; url?: string },
  ) => {
    const { length, path, bucket = BUCKET, type = "application/pdf", url = emulator.url } = upload;
    const metadata = Object.entries({ bucketName: bucket, objectName: path, contentType: type });
    return fetch(`${url}/storage/v1/upload/resumable/sign`, {
      method: "POST",
      headers: {
        ...TUS,
        "x-signature": token,
        "upload-length": String(length),
        "upload-metadata": metadata.map(([name, value]) => `${name} ${Buffer.from(value).toString("base64")}`).join(),
      },
    });
  };
});

const TUS = { "tus-resumable": "1.0.0" };

function patch(location: string, token: string, piece: { offset: number; body: string }): Promise<Response> {
  return fetch(location, {
    method: "PATCH",
    headers: {
      ...TUS,
      "x-signature": token,
      "content-type": "application/offset+octet-stream",
      "upload-offset": String(piece.offset),
    },
    body: piece.body,
  });
}

function send(body: Buffer, options: UploadOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error | DetailedError) => reject(error);
    new Upload(body, { ...options, onSuccess: () => resolve(), onError: fail }).start();
  });
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
