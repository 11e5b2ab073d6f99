import { randomUUID } from "node:crypto";
import { SignJWT, UnsecuredJWT, type JWTPayload } from "jose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  answerKeys,
  answerText,
  makeSigningKey,
  startJwksLoopback,
  type JwksLoopback,
} from "./jwks-loopback.fixture.ts";
import { createServiceVerifier, type ServiceVerifier } from "./service-verifier.ts";

const secret = "token secret of the tests, long enough";
const serviceRoleKey = "sb_secret_of-the-tests_0123456789";
const key = await makeSigningKey("ES256");
const exp = Math.floor(Date.now() / 1_000) + 60;
/** What Supabase puts into the keys of projects with a shared secret. */
const legacyKey: JWTPayload = { iss: "supabase", role: "service_role", exp };

let loopback: JwksLoopback;
let verify: ServiceVerifier;
beforeAll(async () => {
  loopback = await startJwksLoopback();
  loopback.answer = answerKeys(key);
  verify = createServiceVerifier({ secret, supabaseUrl: loopback.supabaseUrl, serviceRoleKey });
});
afterAll(() => loopback.close());

function sign(payload: JWTPayload, withSecret = secret): Promise<string> {
  return new SignJWT(payload).setProtectedHeader({ alg: "HS256" }).sign(new TextEncoder().encode(withSecret));
}

describe("a service verifier", () => {
  it("accepts the configured key", async () => {
    await expect(verify(serviceRoleKey)).resolves.toBeUndefined();
  });

  it("accepts the service key of a project with a shared secret", async () => {
    await expect(verify(await sign(legacyKey))).resolves.toBeUndefined();
  });

  it("accepts a token of the service role signed with a public key of the project", async () => {
    const token = await key.sign({ iss: `${loopback.supabaseUrl}/auth/v1`, role: "service_role", exp });
    await expect(verify(token)).resolves.toBeUndefined();
  });

  it.each([
    ["that is another key", () => Promise.resolve(`${serviceRoleKey}0`)],
    ["that is the start of the key", () => Promise.resolve(serviceRoleKey.slice(0, -1))],
    ["that is empty", () => Promise.resolve("")],
    ["of a user", () => sign({ ...legacyKey, role: "authenticated", sub: randomUUID(), aud: "authenticated" })],
    ["of the anonymous role", () => sign({ ...legacyKey, role: "anon" })],
    ["without a role", () => sign({ iss: "supabase", exp })],
    [
      "whose user calls himself service",
      () => sign({ ...legacyKey, role: "x", user_metadata: { role: "service_role" } }),
    ],
    ["that never expires", () => sign({ iss: "supabase", role: "service_role" })],
    ["that has expired", () => sign({ ...legacyKey, exp: exp - 120 })],
    ["of another issuer", () => sign({ ...legacyKey, iss: "https://elsewhere.example.test/auth/v1" })],
    ["signed with another secret", () => sign(legacyKey, "another secret, as long as the first")],
    ["signed with the public key as a secret", () => sign(legacyKey, key.publicPem)],
    ["not signed", () => Promise.resolve(new UnsecuredJWT(legacyKey).encode())],
  ])("refuses a token %s", async (_, makeToken) => {
    await expect(verify(await makeToken())).rejects.toMatchObject({ kind: "unauthorized", code: "unauthorized" });
  });

  it("refuses every opaque token when no key is configured", async () => {
    await expect(createServiceVerifier({ secret })(serviceRoleKey)).rejects.toMatchObject({ code: "unauthorized" });
  });

  it("says when nobody can tell", async () => {
    const verifyAnew = createServiceVerifier({ supabaseUrl: loopback.supabaseUrl });
    loopback.answer = answerText("down", 503);
    await expect(verifyAnew(await key.sign(legacyKey))).rejects.toMatchObject({ code: "auth_keys_unavailable" });
  });
});
