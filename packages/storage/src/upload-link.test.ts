import { SignJWT, UnsecuredJWT } from "jose";
import { describe, expect, it } from "vitest";
import { encodeUploadSecret, signUploadLink, verifyUploadLink } from "./upload-link.ts";
import { TEST_SECRET } from "./upload-server.fixture.ts";

const KEY = "3f0c1a52-9d51-5c0e-8d0f-0a1b2c3d4e5f/7b9e6a10-1c2d-4e3f-9a8b-5c6d7e8f9a0b";
const SECRET = encodeUploadSecret(TEST_SECRET);
const INPUT = { key: KEY, mime: "text/plain", bytes_len: 12, expiresInSeconds: 60 };
const CLAIMS = { url: `uploads/${KEY}`, bytes_len: 12, mime: "text/plain", scope: "upload" };
const NOW = Math.floor(Date.now() / 1000);

const sign = (input = INPUT, publicUrl = "http://localhost:8000") =>
  signUploadLink(input, { publicUrl, secret: SECRET });
const verify = (token: string, path = KEY, bucket = "uploads") => verifyUploadLink({ bucket, path, token }, SECRET);
const forge = (claims: Record<string, unknown>, secret = SECRET, alg = "HS256") =>
  new SignJWT({ iat: NOW, exp: NOW + 60, ...claims }).setProtectedHeader({ alg }).sign(secret);

const INVALID = { kind: "unauthorized", code: "upload_link_invalid" };

describe("upload links", () => {
  it("carry the promise that they were signed with", async () => {
    const upload = await sign();
    expect(upload).toMatchObject({
      url: `http://localhost:8000/storage/v1/object/upload/sign/uploads/${KEY}?token=${upload.token}`,
      method: "PUT",
      headers: { "content-type": "text/plain" },
      bucket: "uploads",
      path: KEY,
    });
    expect(await verify(upload.token)).toEqual({ bytes_len: 12, mime: "text/plain" });
  });

  it("have one slash between the public URL and the path", async () => {
    const upload = await sign(INPUT, "http://localhost:8000/");
    expect(upload.url).toContain("http://localhost:8000/storage/");
  });

  it("are expired from their last second on", async () => {
    const token = await forge({ ...CLAIMS, exp: NOW });
    await expect(verify(token)).rejects.toMatchObject({ kind: "unauthorized", code: "upload_link_expired" });
  });

  it("hold for one bucket and one path only", async () => {
    const { token } = await sign();
    await expect(verify(token, KEY.slice(0, 36))).rejects.toMatchObject(INVALID);
    await expect(verify(token, KEY, "other")).rejects.toMatchObject(INVALID);
  });

  it.each([
    ["signed with another secret", () => forge(CLAIMS, encodeUploadSecret("b".repeat(32)))],
    ["signed with another algorithm", () => forge(CLAIMS, SECRET, "HS512")],
    ["not signed at all", async () => new UnsecuredJWT({ ...CLAIMS, iat: NOW, exp: NOW + 60 }).encode()],
    ["made for a download", () => forge({ ...CLAIMS, scope: "download" })],
    ["made for a user", () => forge({ sub: KEY, role: "authenticated" })],
    ["without an end", () => forge({ ...CLAIMS, exp: undefined })],
    ["without a length", () => forge({ ...CLAIMS, bytes_len: undefined })],
    ["empty", async () => ""],
    ["no token", async () => "not.a.token"],
  ])("refuse a token that is %s", async (_, token) => {
    await expect(verify(await token())).rejects.toMatchObject(INVALID);
  });

  it("refuse a path that is no key, even when it is signed", async () => {
    const token = await forge({ ...CLAIMS, url: "uploads/../secret" });
    await expect(verify(token, "../secret")).rejects.toMatchObject(INVALID);
  });

  it("tell nothing of a forged token's age", async () => {
    const token = await forge({ ...CLAIMS, exp: NOW - 60 }, encodeUploadSecret("b".repeat(32)));
    await expect(verify(token)).rejects.toMatchObject(INVALID);
  });

  it.each([
    ["a negative length", { ...INPUT, bytes_len: -1 }],
    ["half a byte", { ...INPUT, bytes_len: 1.5 }],
    ["a type that breaks the header", { ...INPUT, mime: "text/plain\r\nx-evil: 1" }],
    ["no type", { ...INPUT, mime: "" }],
    ["no lifetime", { ...INPUT, expiresInSeconds: 0 }],
  ])("are not signed for %s", async (_, input) => {
    await expect(sign(input)).rejects.toMatchObject({ kind: "invalid", code: "invalid_upload_promise" });
  });

  it("need a secret of at least 32 bytes", () => {
    expect(() => encodeUploadSecret("x".repeat(31))).toThrow(
      expect.objectContaining({ code: "upload_secret_too_short" }),
    );
  });
});
