import { randomUUID } from "node:crypto";
import { SignJWT, UnsecuredJWT, type JWTPayload } from "jose";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import {
  answerKeys,
  answerText,
  makeSigningKey,
  startJwksLoopback,
  type JwksLoopback,
} from "./jwks-loopback.fixture.ts";
import { signDevelopmentToken } from "./sign-development-token.ts";
import { createTokenVerifier, type TokenVerifier } from "./token-verifier.ts";

const secret = "token secret of the tests, long enough";
const userId = randomUUID();
const elliptic = await makeSigningKey("ES256");
const rsa = await makeSigningKey("RS256");
const stranger = await makeSigningKey("ES256");

let loopback: JwksLoopback;
let issuer: string;
let claims: JWTPayload;
/** Knows the secret and the project's keys. */
let verify: TokenVerifier;

beforeAll(async () => {
  loopback = await startJwksLoopback();
  issuer = `${loopback.supabaseUrl}/auth/v1`;
});
afterAll(() => loopback.close());
beforeEach(() => {
  loopback.answer = answerKeys(elliptic, rsa);
  verify = createTokenVerifier({ secret, supabaseUrl: loopback.supabaseUrl });
  const now = Math.floor(Date.now() / 1_000);
  claims = { sub: userId, aud: "authenticated", role: "authenticated", iss: issuer, iat: now, exp: now + 60 };
});

const REFUSED = { kind: "unauthorized", code: "unauthorized" };

function inSeconds(seconds: number): number {
  return Math.floor(Date.now() / 1_000) + seconds;
}

function sign(payload: JWTPayload, key = secret, header: Record<string, unknown> = {}): Promise<string> {
  return new SignJWT(payload).setProtectedHeader({ alg: "HS256", ...header }).sign(new TextEncoder().encode(key));
}

function without(name: string): JWTPayload {
  return Object.fromEntries(Object.entries(claims).filter(([claim]) => claim !== name));
}

/** The same signature under another header, as somebody without a key would try it. */
function swapHeader(token: string, header: Record<string, unknown>): string {
  const [, payload, signature] = token.split(".");
  return [Buffer.from(JSON.stringify(header)).toString("base64url"), payload, signature].join(".");
}

describe("a token that was good", () => {
  afterEach(() => void vi.useRealTimers());

  it("is not verified again for half a minute, and never taken beyond its end", async () => {
    vi.useFakeTimers({ toFake: ["Date", "performance"] });
    const verifications = vi.spyOn(crypto.subtle, "verify");
    const token = await sign({ ...claims, exp: inSeconds(45) });
    for (const seconds of [0, 29, 2]) {
      vi.advanceTimersByTime(seconds * 1_000);
      expect(await verify(token)).toMatchObject({ user_id: userId });
    }
    expect(verifications).toHaveBeenCalledTimes(2);
    vi.advanceTimersByTime(20_000);
    await expect(verify(token)).rejects.toMatchObject(REFUSED);
    verifications.mockRestore();
  });

  it("lends nothing to one that differs in a character", async () => {
    const token = await sign(claims);
    await verify(token);
    const [header, payload, signature = ""] = token.split(".");
    const other = `${signature.startsWith("A") ? "B" : "A"}${signature.slice(1)}`;
    await expect(verify([header, payload, other].join("."))).rejects.toMatchObject(REFUSED);
  });
});

describe("a token verifier", () => {
  it("tells when the token ends", async () => {
    const exp = inSeconds(90);
    await expect(verify(await sign({ ...claims, exp }))).resolves.toEqual({
      user_id: userId,
      expires_at: new Date(exp * 1_000),
    });
  });

  it.each([
    ["the shared secret", () => sign(claims)],
    ["an ES256 key", () => elliptic.sign(claims)],
    ["an RS256 key", () => rsa.sign(claims)],
  ])("answers whose token it is, signed with %s", async (_, makeToken) => {
    await expect(verify(await makeToken())).resolves.toMatchObject({ user_id: userId });
  });

  it("accepts what signDevelopmentToken makes", async () => {
    const token = await signDevelopmentToken({ secret, userId, expiresInSeconds: 60, issuer });
    await expect(verify(token)).resolves.toMatchObject({ user_id: userId });
  });

  it("accepts any issuer when no project is configured", async () => {
    const anyIssuer = createTokenVerifier({ secret });
    await expect(anyIssuer(await sign(without("iss")))).resolves.toMatchObject({ user_id: userId });
  });

  it("answers the user's id in lower case, so that one user never has two sets of documents", async () => {
    await expect(verify(await sign({ ...claims, sub: userId.toUpperCase() }))).resolves.toMatchObject({
      user_id: userId,
    });
  });

  it("accepts a token within the five seconds that clocks may differ", async () => {
    await expect(verify(await sign({ ...claims, exp: inSeconds(-1) }))).resolves.toMatchObject({ user_id: userId });
  });

  it("needs something to verify with", () => {
    expect(() => createTokenVerifier({})).toThrow(expect.objectContaining({ code: "invalid_config" }));
  });

  it.each([
    ["that has expired", () => sign({ ...claims, exp: inSeconds(-60) })],
    ["of a public key that has expired", () => elliptic.sign({ ...claims, exp: inSeconds(-60) })],
    ["signed with another secret", () => sign(claims, "another secret, as long as the first")],
    ["signed with another algorithm", () => sign(claims, secret, { alg: "HS512" })],
    ["not signed", () => Promise.resolve(new UnsecuredJWT(claims).encode())],
    ["for another audience", () => elliptic.sign({ ...claims, aud: "somebody" })],
    ["without an audience", () => sign(without("aud"))],
    ["of another issuer", () => elliptic.sign({ ...claims, iss: "https://elsewhere.example.test/auth/v1" })],
    ["of the secret and another issuer", () => sign({ ...claims, iss: "https://elsewhere.example.test/auth/v1" })],
    ["without an issuer", () => sign(without("iss"))],
    ["of the service role", () => elliptic.sign({ ...claims, role: "service_role" })],
    ["of the anonymous role", () => sign({ ...claims, role: "anon" })],
    ["that is a project's anonymous key", () => sign({ iss: "supabase", role: "anon", exp: inSeconds(60) })],
    ["that is a project's service key", () => sign({ iss: "supabase", role: "service_role", exp: inSeconds(60) })],
    ["without a role", () => sign(without("role"))],
    ["whose user gave himself the role", () => sign({ ...without("role"), user_metadata: { role: "authenticated" } })],
    ["without a subject", () => sign(without("sub"))],
    ["whose subject is no UUID", () => elliptic.sign({ ...claims, sub: "admin" })],
    ["that never expires", () => elliptic.sign(without("exp"))],
    ["that ends later than any date", () => sign({ ...claims, exp: 1e300 })],
    ["that ends a second after the last date", () => sign({ ...claims, exp: 8_640_000_000_001 })],
    ["that is not valid yet", () => sign({ ...claims, nbf: inSeconds(60) })],
    ["that is no token", () => Promise.resolve("abc.def.ghi")],
    ["with a part too many", async () => `${await sign(claims)}.e30`],
    ["that is empty", () => Promise.resolve("")],
    ["of a key that the project does not have", () => stranger.sign(claims)],
    ["of a stranger's key under the name of ours", () => stranger.sign(claims, { kid: elliptic.kid })],
    ["that names no key", () => elliptic.sign(claims, { kid: undefined })],
    ["that names its key at length", () => elliptic.sign(claims, { kid: "k".repeat(201) })],
    ["that brings its key along", () => stranger.sign(claims, { jwk: stranger.jwk })],
    ["that says where its key is", () => stranger.sign(claims, { jku: "http://127.0.0.1:1/keys" })],
    [
      "with a critical extension",
      async () => swapHeader(await elliptic.sign(claims), { alg: "ES256", kid: elliptic.kid, crit: ["x"], x: 1 }),
    ],
    ["signed with the public key as a secret", () => sign(claims, elliptic.publicPem, { kid: elliptic.kid })],
    ["signed with the public JWK as a secret", () => sign(claims, JSON.stringify(rsa.jwk), { kid: rsa.kid })],
    ["of an RSA key that calls itself HS256", async () => swapHeader(await rsa.sign(claims), { alg: "HS256" })],
    [
      "of a secret that calls itself ES256",
      async () => swapHeader(await sign(claims), { alg: "ES256", kid: elliptic.kid }),
    ],
    ["whose signature was cut off", async () => swapHeader(await elliptic.sign(claims), { alg: "none" })],
    ["longer than any token", () => sign({ ...claims, user_metadata: { note: "x".repeat(8_192) } })],
  ])("refuses a token %s", async (_, makeToken) => {
    await expect(verify(await makeToken())).rejects.toMatchObject(REFUSED);
  });

  it("knows only the algorithms of what is configured", async () => {
    const secretAlone = createTokenVerifier({ secret });
    await expect(secretAlone(await elliptic.sign(claims))).rejects.toMatchObject(REFUSED);
    const keysAlone = createTokenVerifier({ supabaseUrl: loopback.supabaseUrl });
    await expect(keysAlone(await sign(claims))).rejects.toMatchObject(REFUSED);
    await expect(keysAlone(await sign(claims, elliptic.publicPem))).rejects.toMatchObject(REFUSED);
    await expect(keysAlone(await elliptic.sign(claims))).resolves.toMatchObject({ user_id: userId });
  });

  it("judges nothing by keys that it cannot fetch, but goes on with the secret", async () => {
    loopback.answer = answerText("down", 500);
    for (const token of [await elliptic.sign(claims), await stranger.sign(claims)]) {
      await expect(verify(token)).rejects.toMatchObject({ kind: "transient", code: "auth_keys_unavailable" });
    }
    await expect(verify(await sign(claims))).resolves.toMatchObject({ user_id: userId });
    await expect(verify(await sign({ ...claims, role: "anon" }))).rejects.toMatchObject(REFUSED);
  });
});
