import { randomUUID } from "node:crypto";
import { SignJWT, UnsecuredJWT, type JWTPayload } from "jose";
import { describe, expect, it } from "vitest";
import { signDevelopmentToken } from "./sign-development-token.ts";
import { createTokenVerifier } from "./token-verifier.ts";

const secret = "token secret of the tests, long enough";
const issuer = "https://project.example.test/auth/v1";
const userId = randomUUID();
const verify = createTokenVerifier({ secret, issuer });

const now = Math.floor(Date.now() / 1_000);
const claims: JWTPayload = {
  sub: userId,
  aud: "authenticated",
  role: "authenticated",
  iss: issuer,
  iat: now,
  exp: now + 60,
};

function sign(payload: JWTPayload, key = secret, alg = "HS256"): Promise<string> {
  return new SignJWT(payload).setProtectedHeader({ alg }).sign(new TextEncoder().encode(key));
}

function without(name: string): JWTPayload {
  return Object.fromEntries(Object.entries(claims).filter(([claim]) => claim !== name));
}

describe("a token verifier", () => {
  it("answers whose token it is", async () => {
    await expect(verify(await sign(claims))).resolves.toEqual({ user_id: userId });
  });

  it("accepts what signDevelopmentToken makes", async () => {
    const token = await signDevelopmentToken({ secret, userId, expiresInSeconds: 60, issuer });
    await expect(verify(token)).resolves.toEqual({ user_id: userId });
  });

  it("accepts any issuer when none is asked for", async () => {
    const anyIssuer = createTokenVerifier({ secret });
    await expect(anyIssuer(await sign(without("iss")))).resolves.toEqual({ user_id: userId });
  });

  it("answers the user's id in lower case, so that one user never has two sets of documents", async () => {
    await expect(verify(await sign({ ...claims, sub: userId.toUpperCase() }))).resolves.toEqual({ user_id: userId });
  });

  it("accepts a token within the five seconds that clocks may differ", async () => {
    await expect(verify(await sign({ ...claims, exp: now - 1 }))).resolves.toEqual({ user_id: userId });
  });

  it("tells an expired token from others", async () => {
    await expect(verify(await sign({ ...claims, exp: now - 60 }))).rejects.toMatchObject({
      kind: "unauthorized",
      code: "token_expired",
    });
  });

  it.each([
    ["signed with another secret", () => sign(claims, "another secret, as long as the first")],
    [
      "signed with another secret and expired",
      () => sign({ ...claims, exp: now - 60 }, "another secret, as long as it"),
    ],
    ["signed with another algorithm", () => sign(claims, secret, "HS512")],
    ["not signed", () => Promise.resolve(new UnsecuredJWT(claims).encode())],
    ["for another audience", () => sign({ ...claims, aud: "somebody" })],
    ["without an audience", () => sign(without("aud"))],
    ["of another issuer", () => sign({ ...claims, iss: "https://elsewhere.example.test" })],
    ["of the service role", () => sign({ ...claims, role: "service_role" })],
    ["of the anonymous role", () => sign({ ...claims, role: "anon" })],
    ["without a role", () => sign(without("role"))],
    ["without a subject", () => sign(without("sub"))],
    ["whose subject is no UUID", () => sign({ ...claims, sub: "admin" })],
    ["that never expires", () => sign(without("exp"))],
    ["that is not valid yet", () => sign({ ...claims, nbf: now + 60 })],
    ["that is no token", () => Promise.resolve("abc.def.ghi")],
    ["that is empty", () => Promise.resolve("")],
  ])("refuses a token %s", async (_, makeToken) => {
    await expect(verify(await makeToken())).rejects.toMatchObject({ kind: "unauthorized", code: "unauthorized" });
  });
});
