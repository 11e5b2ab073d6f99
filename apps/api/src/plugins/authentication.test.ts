import { randomUUID } from "node:crypto";
import { SignJWT, UnsecuredJWT } from "jose";
import { createLogger } from "@pipeline/runtime";
import { fastify, type FastifyInstance } from "fastify";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  answerKeys,
  answerText,
  makeSigningKey,
  startJwksLoopback,
  type JwksLoopback,
} from "../auth/jwks-loopback.fixture.ts";
import { createTokenVerifier } from "../auth/token-verifier.ts";
import { authentication } from "./authentication.ts";
import { problems } from "./problems.ts";
import { requestLog } from "./request-log.ts";

const secret = "token secret of the tests, long enough";
const key = await makeSigningKey("ES256", "known");
const userId = randomUUID();

let loopback: JwksLoopback;
beforeAll(async () => {
  loopback = await startJwksLoopback();
  loopback.answer = answerKeys(key);
});
afterAll(() => loopback.close());

async function buildProtected(lines: string[] = []): Promise<FastifyInstance> {
  const app = fastify({ genReqId: () => "request" });
  const log = createLogger({ level: "trace", service: "api", stream: { write: (line) => lines.push(line) } });
  await app.register(requestLog, { log });
  await app.register(problems);
  const verifyToken = createTokenVerifier({ secret, supabaseUrl: loopback.supabaseUrl });
  await app.register(authentication, { verifyToken });
  app.get("/", (request) => ({ user_id: request.userId }));
  return app;
}

function claimsWith(changes: Record<string, unknown> = {}): Record<string, unknown> {
  const exp = Math.floor(Date.now() / 1_000) + 60;
  const iss = `${loopback.supabaseUrl}/auth/v1`;
  return { sub: userId, aud: "authenticated", role: "authenticated", iss, exp, ...changes };
}

function signWith(text: string): Promise<string> {
  return new SignJWT(claimsWith()).setProtectedHeader({ alg: "HS256" }).sign(new TextEncoder().encode(text));
}

const BAD_TOKENS: [string, () => Promise<string>][] = [
  ["the public key as a secret", () => signWith(key.publicPem)],
  ["algorithm none", () => Promise.resolve(new UnsecuredJWT(claimsWith()).encode())],
  ["another audience", () => key.sign(claimsWith({ aud: "elsewhere" }))],
  ["another issuer", () => key.sign(claimsWith({ iss: "https://elsewhere.example.test/auth/v1" }))],
  ["its time over", () => key.sign(claimsWith({ exp: 1 }))],
  ["the anonymous role", () => key.sign(claimsWith({ role: "anon" }))],
  ["the service role", () => key.sign(claimsWith({ role: "service_role" }))],
  ["an unknown key", () => key.sign(claimsWith(), { kid: "unknown" })],
  ["nothing but noise", () => Promise.resolve("noise")],
  ["too many characters", () => Promise.resolve("x".repeat(9_000))],
];

describe("authentication", () => {
  it("lets a user in by a public key of the project", async () => {
    const app = await buildProtected();
    const authorization = `Bearer ${await key.sign(claimsWith())}`;
    const answer = await app.inject({ url: "/", headers: { authorization } });
    expect(answer.json()).toEqual({ user_id: userId });
  });

  it("answers no token and every bad one with the same bytes", async () => {
    const app = await buildProtected();
    const withoutToken = await app.inject({ url: "/" });
    expect(withoutToken.statusCode).toBe(401);
    for (const [fault, makeToken] of BAD_TOKENS) {
      const answer = await app.inject({ url: "/", headers: { authorization: `Bearer ${await makeToken()}` } });
      const { date: _, ...headers } = answer.headers;
      const { date: __, ...expected } = withoutToken.headers;
      expect({ fault, status: answer.statusCode, headers, body: answer.body }).toEqual({
        fault,
        status: 401,
        headers: expected,
        body: withoutToken.body,
      });
    }
  });

  it("answers 503 when the keys cannot be fetched, and logs neither token nor claims", async () => {
    const lines: string[] = [];
    const app = await buildProtected(lines);
    loopback.answer = answerText("down", 500);
    const token = await key.sign(claimsWith({ email: "somebody@example.test" }));
    const expired = await signWith("another secret, as long as the first");
    const answer = await app.inject({ url: "/", headers: { authorization: `Bearer ${token}` } });
    expect(answer.statusCode).toBe(503);
    expect(answer.headers["retry-after"]).toBe("5");
    expect(answer.json()).toMatchObject({ status: 503, code: "auth_keys_unavailable" });
    await app.inject({ url: "/", headers: { authorization: `Bearer ${expired}` } });
    expect(lines.join("")).toContain("auth_keys_unavailable");
    for (const secretPart of [token, expired, userId, "somebody"]) expect(lines.join("")).not.toContain(secretPart);
  });
});
