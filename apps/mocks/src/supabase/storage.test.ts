import { createHash, randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { createClient } from "@supabase/supabase-js";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { startSupabase, type SupabaseEmulator } from "./start-supabase.ts";

const BUCKET = "files";
const SETTINGS = { public: false, fileSizeLimit: 1_000_000, allowedMimeTypes: ["application/pdf", "text/plain"] };
const PDF = { contentType: "application/pdf" };
const SIGNED_PUT = "PUT /storage/v1/object/upload/sign/:bucket/*";

describe("the emulated storage", () => {
  let emulator: SupabaseEmulator;
  beforeEach(async () => {
    emulator = await startSupabase();
    await storage().createBucket(BUCKET, SETTINGS);
  });
  afterEach(() => emulator.close());

  const storage = (key = emulator.serviceRoleKey) => createClient(emulator.url, key).storage;
  const files = (key?: string) => storage(key).from(BUCKET);
  const sign = async (path: string, options?: { upsert: boolean }) => {
    const { data, error } = await files().createSignedUploadUrl(path, options);
    if (error !== null) throw error;
    return data;
  };
  const upload = async (path: string, token: string) =>
    (await files().uploadToSignedUrl(path, token, Buffer.from("x"), PDF)).error;
  const part = (path: string, range: string) =>
    fetch(`${emulator.url}/storage/v1/object/${BUCKET}/${path}`, {
      headers: { authorization: `Bearer ${emulator.serviceRoleKey}`, range },
    });
  const textOf = async (path: string) => (await files().download(path)).data?.text();

  it.each([
    ["a buffer", () => Buffer.from("%PDF-")],
    ["a stream", () => Readable.from([Buffer.from("%P"), Buffer.from("DF-")])],
    ["a blob", () => new Blob(["%PDF-"], { type: "application/pdf" })],
    ["a file", () => new File(["%PDF-"], "Müller.pdf", { type: "application/pdf" })],
  ])("takes %s by a signed link, and no key with it", async (_, body) => {
    const { path, token } = await sign("a/b.pdf");
    const nobody = files(emulator.anonKey);
    const { data, error } = await nobody.uploadToSignedUrl(path, token, body(), PDF);
    expect({ data, error }).toEqual({ data: { path, fullPath: `${BUCKET}/${path}` }, error: null });
    expect(await textOf(path)).toBe("%PDF-");
    expect((await files().info(path)).data).toMatchObject({
      name: path,
      bucketId: BUCKET,
      size: 5,
      contentType: "application/pdf",
      cacheControl: "max-age=3600",
      etag: `"${createHash("md5").update("%PDF-").digest("hex")}"`,
    });
  });

  it("takes a plain PUT without any other header than the type", async () => {
    const { signedUrl, path } = await sign("plain.pdf");
    expect(await put(signedUrl, "%PDF-", { "content-type": "application/pdf" })).toEqual({
      status: 200,
      body: { Key: `${BUCKET}/${path}` },
    });
  });

  it("answers refusals as a 400 whose body has the real status", async () => {
    const { signedUrl } = await sign("twice.pdf");
    await put(signedUrl, "%PDF-", { "content-type": "application/pdf" });
    expect(await put(signedUrl, "other", { "content-type": "application/pdf" })).toEqual({
      status: 400,
      body: {
        statusCode: "409",
        error: "Duplicate",
        message: "The resource already exists",
        code: "KeyAlreadyExists",
      },
    });
    expect(await textOf("twice.pdf")).toBe("%PDF-");
    const missing = await fetch(`${emulator.url}/storage/v1/object/info/${BUCKET}/none`, {
      headers: { authorization: `Bearer ${emulator.serviceRoleKey}` },
    });
    expect(await readAnswer(missing)).toEqual({
      status: 400,
      body: { statusCode: "404", error: "not_found", message: "Object not found", code: "NoSuchKey" },
    });
  });

  it("compares the declared type letter by letter, and forgives the link what it refused", async () => {
    const { signedUrl, path } = await sign("note.txt");
    const type = { "content-type": "text/plain;charset=UTF-8" };
    expect(await put(signedUrl, "text", type)).toMatchObject({ body: { statusCode: "415", code: "InvalidMimeType" } });
    const large = new Uint8Array(1_000_001);
    expect(await put(signedUrl, large, { "content-type": "text/plain" })).toMatchObject({
      body: { statusCode: "413", code: "EntityTooLarge" },
    });
    expect(await put(signedUrl, "", { "content-type": "text/plain" })).toMatchObject({ status: 200 });
    expect((await files().info(path)).data?.size).toBe(0);
  });

  it("measures a body that does not tell its length", async () => {
    const { path, token } = await sign("stream.pdf");
    const body = Readable.from([randomBytes(600_000), randomBytes(600_000)]);
    const { error } = await files().uploadToSignedUrl(path, token, body, PDF);
    expect(error).toMatchObject({ statusCode: "413", code: "EntityTooLarge" });
    expect(emulator.stats().object_count).toBe(0);
  });

  it("replaces a file by a link that may", async () => {
    const first = await sign("again.pdf");
    await files().uploadToSignedUrl(first.path, first.token, Buffer.from("first"), PDF);
    const versionOf = async () => (await files().info("again.pdf")).data?.version;
    const version = await versionOf();
    const second = await sign("again.pdf", { upsert: true });
    const { error } = await files().uploadToSignedUrl(second.path, second.token, Buffer.from("second"), PDF);
    expect(error).toBeNull();
    expect(await textOf("again.pdf")).toBe("second");
    expect(await versionOf()).not.toBe(version);
  });

  it.each(["a/ü.pdf", "a/[x].pdf", "a/~t.pdf"])("signs a link for %s and then refuses the file", async (path) => {
    const { token } = await sign(path);
    const { error } = await files().uploadToSignedUrl(path, token, Buffer.from("x"), PDF);
    expect(error).toMatchObject({ code: "InvalidKey" });
  });

  it.each([
    ["a/#1.pdf", "a/"],
    ["a/x?y.pdf", "a/x"],
  ])("stores %s as %s, as a URL reads it", async (path, stored) => {
    const { data } = await files().createSignedUploadUrl(path);
    const link = `${emulator.url}/storage/v1/object/upload/sign/${BUCKET}/${stored}?token=${data?.token}`;
    expect(await put(link, "x", { "content-type": "application/pdf" })).toMatchObject({
      body: { Key: `${BUCKET}/${stored}` },
    });
  });

  it("signs nothing for what is no path in a URL, and loses a doubled slash", async () => {
    expect((await files().createSignedUploadUrl("50%.pdf")).error).not.toBeNull();
    const { token } = await sign("a//b.pdf");
    const { error } = await files().uploadToSignedUrl("a//b.pdf", token, Buffer.from("x"), PDF);
    expect(error).toMatchObject({ code: "InvalidSignature" });
  });

  it("tells a forged link from one for another path, another purpose or another time", async () => {
    const { path, token } = await sign("mine.pdf");
    expect(await upload(path, `${token}x`)).toMatchObject({ code: "InvalidJWT" });
    expect(await upload("other.pdf", token)).toMatchObject({ code: "InvalidSignature" });
    const claims = { url: `${BUCKET}/${path}`, upsert: false, scope: "upload" };
    const secret = new TextEncoder().encode(emulator.jwtSecret);
    const signed = (content: Record<string, unknown>, time: string) =>
      new SignJWT(content).setProtectedHeader({ alg: "HS256" }).setExpirationTime(time).sign(secret);
    expect(await upload(path, await signed(claims, "1 second ago"))).toMatchObject({ code: "InvalidJWT" });
    expect(await upload(path, await signed({ ...claims, scope: "download" }, "1 hour"))).toMatchObject({
      code: "InvalidSignature",
    });
    expect(await upload(path, await signed(claims, "1 hour"))).toBeNull();
  });

  it("lists one folder at a time, and pages through it", async () => {
    for (const path of ["a/1.pdf", "a/2.pdf", "a/b/3.pdf", "4.pdf"]) await files().upload(path, Buffer.from(path), PDF);
    const namesIn = async (folder: string, options = {}) =>
      (await files().list(folder, options)).data?.map((row) => row.name);
    expect(await namesIn("")).toEqual(["4.pdf", "a"]);
    expect(await namesIn("a")).toEqual(["1.pdf", "2.pdf", "b"]);
    expect(await namesIn("a", { limit: 1, offset: 1 })).toEqual(["2.pdf"]);
    expect(await namesIn("a", { sortBy: { column: "name", order: "desc" } })).toEqual(["b", "2.pdf", "1.pdf"]);
    const [folder, object] = (await files().list("")).data?.toReversed() ?? [];
    expect(folder).toMatchObject({ name: "a", id: null, metadata: null });
    expect(object).toMatchObject({ metadata: { size: 5, mimetype: "application/pdf" } });
  });

  it("removes what is there and passes over what is not", async () => {
    await files().upload("a.pdf", Buffer.from("a"), PDF);
    const removed = await files().remove(["a.pdf", "b.pdf"]);
    expect(removed.data?.map((row) => row.name)).toEqual(["a.pdf"]);
    expect(await files().remove(["a.pdf"])).toMatchObject({ data: [], error: null });
    expect((await files().exists("a.pdf")).data).toBe(false);
  });

  it("sends parts of a file, and refuses parts that are not in it", async () => {
    await files().upload("ten.pdf", Buffer.from("0123456789"), PDF);
    const answers = await Promise.all(["bytes=2-4", "bytes=7-", "bytes=-2"].map((range) => part("ten.pdf", range)));
    expect(await Promise.all(answers.map((answer) => answer.text()))).toEqual(["234", "789", "89"]);
    expect(answers.map((answer) => answer.headers.get("content-range"))).toEqual([
      "bytes 2-4/10",
      "bytes 7-9/10",
      "bytes 8-9/10",
    ]);
    expect(await readAnswer(await part("ten.pdf", "bytes=10-"))).toMatchObject({ body: { code: "InvalidRange" } });
  });

  it("gives a file to whoever has a link for it, while the link lives", async () => {
    await files().upload("page.txt", Buffer.from("text"), { contentType: "text/plain" });
    const { data } = await files().createSignedUrl("page.txt", 60);
    expect(await (await fetch(data?.signedUrl ?? "")).text()).toBe("text");
    const stranger = await fetch((data?.signedUrl ?? "").replace("page.txt", "other.txt"));
    expect(await readAnswer(stranger)).toMatchObject({ body: { code: "InvalidSignature" } });
  });

  it("refuses writes without the service's key, and shows nothing", async () => {
    await files().upload("a.pdf", Buffer.from("a"), PDF);
    const nobody = files(emulator.anonKey);
    expect((await nobody.upload("b.pdf", Buffer.from("b"), PDF)).error).toMatchObject({
      statusCode: "403",
      code: "AccessDenied",
    });
    expect((await nobody.createSignedUploadUrl("b.pdf")).error).toMatchObject({ code: "AccessDenied" });
    expect((await nobody.download("a.pdf")).error).toMatchObject({ code: "NoSuchKey" });
    expect((await nobody.info("a.pdf")).error).toMatchObject({ code: "NoSuchKey" });
    expect((await nobody.list("")).data).toEqual([]);
    expect((await nobody.remove(["a.pdf"])).data).toEqual([]);
    expect((await storage(emulator.anonKey).getBucket(BUCKET)).error).toMatchObject({ code: "NoSuchBucket" });
    expect((await files("not a token").remove(["a.pdf"])).error).toMatchObject({ code: "AccessDenied" });
    expect((await files("not a token").info("a.pdf")).error).toMatchObject({ code: "NoSuchKey" });
    expect(await textOf("a.pdf")).toBe("a");
  });

  it("answers preflights as the gateway does, and leaves other OPTIONS to a service that knows none", async () => {
    const { signedUrl } = await sign("a.pdf");
    const preflight = await fetch(signedUrl, {
      method: "OPTIONS",
      headers: {
        origin: "https://app.example.com",
        "access-control-request-method": "PUT",
        "access-control-request-headers": "content-type,x-upsert",
      },
    });
    expect(preflight.status).toBe(200);
    expect(Object.fromEntries(preflight.headers)).toMatchObject({
      "access-control-allow-origin": "*",
      "access-control-allow-methods": "GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS,TRACE,CONNECT",
      "access-control-allow-headers": "content-type,x-upsert",
    });
    expect((await fetch(signedUrl, { method: "OPTIONS" })).status).toBe(404);
    const refused = await fetch(signedUrl, { method: "PUT", body: "x" });
    expect(refused.headers.get("access-control-allow-origin")).toBe("*");
  });

  it("keeps nothing of a PUT that breaks off, and lets its link be used again", async () => {
    const { path, token, signedUrl } = await sign("broken.pdf");
    emulator.failNext("cut_upload", { route: SIGNED_PUT, times: 1 });
    await expect(put(signedUrl, randomBytes(500_000), { "content-type": "application/pdf" })).rejects.toThrow(
      "fetch failed",
    );
    expect(emulator.stats()).toMatchObject({ object_count: 0, faults: { cut_upload: 1 } });
    expect((await files().uploadToSignedUrl(path, token, Buffer.from("x"), PDF)).error).toBeNull();
  });

  it("creates a bucket once, and deletes it only when it is empty", async () => {
    expect((await storage().createBucket(BUCKET)).error).toMatchObject({ statusCode: "409" });
    expect((await storage().listBuckets()).data).toMatchObject([{ id: BUCKET, public: false }]);
    await files().upload("a.pdf", Buffer.from("a"), PDF);
    expect((await storage().deleteBucket(BUCKET)).error).toMatchObject({ statusCode: "409" });
    await files().remove(["a.pdf"]);
    expect((await storage().deleteBucket(BUCKET)).error).toBeNull();
    expect((await storage().getBucket(BUCKET)).error).toMatchObject({ code: "NoSuchBucket" });
  });
});

describe("the emulated project", () => {
  it("lists the public keys it was given and never a shared secret, and knows users by them", async () => {
    const { publicKey, privateKey } = await generateKeyPair("ES256", { extractable: true });
    const key = { ...(await exportJWK(publicKey)), kid: "one", alg: "ES256" };
    const emulator = await startSupabase({ jwks: { keys: [key, { kty: "oct", k: "c2VjcmV0", kid: "legacy" }] } });
    const answer = await fetch(`${emulator.url}/auth/v1/.well-known/jwks.json`);
    expect(answer.headers.get("cache-control")).toBe("public, max-age=600");
    expect(await answer.json()).toEqual({ keys: [key] });
    await createClient(emulator.url, emulator.serviceRoleKey).storage.createBucket(BUCKET);
    const user = await new SignJWT({ role: "authenticated" })
      .setProtectedHeader({ alg: "ES256", kid: "one" })
      .setExpirationTime("1 hour")
      .sign(privateKey);
    const upload = await createClient(emulator.url, user).storage.from(BUCKET).upload("a", Buffer.from("a"));
    expect(upload.error).toMatchObject({ message: "new row violates row-level security policy" });
    await emulator.close();
  });

  it("meets the same faults again with the same seed, about as often as asked", async () => {
    const [first, again, other] = await Promise.all([statusesWith(1), statusesWith(1), statusesWith(2)]);
    expect(again).toEqual(first);
    expect(other).not.toEqual(first);
    const share = (status: number) => first.filter((one) => one === status).length / first.length;
    expect(share(500)).toBeGreaterThan(0.1);
    expect(share(500)).toBeLessThan(0.3);
    expect(share(429)).toBeGreaterThan(0.03);
    expect(share(200)).toBeGreaterThan(0.5);
  });
});

async function put(
  link: string,
  body: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string>,
): Promise<{ status: number; body: Record<string, unknown> }> {
  return readAnswer(await fetch(link, { method: "PUT", body, headers }));
}

/** What came of 200 requests, one after the other. */
async function statusesWith(seed: number): Promise<number[]> {
  const rates = { server_error: 0.2, rate_limit: 0.1 };
  const emulator = await startSupabase({ faults: { seed, maxLatencyMs: 2, rates } });
  const statuses: number[] = [];
  for (let count = 0; count < 200; count += 1) {
    const { status } = await fetch(`${emulator.url}/auth/v1/.well-known/jwks.json`);
    statuses.push(status);
  }
  await emulator.close();
  return statuses;
}

const answerBody = z.record(z.string(), z.unknown());

async function readAnswer(answer: Response): Promise<{ status: number; body: Record<string, unknown> }> {
  return { status: answer.status, body: answerBody.parse(await answer.json()) };
}
