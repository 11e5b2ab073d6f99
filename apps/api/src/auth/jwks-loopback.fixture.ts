import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import { exportJWK, exportSPKI, generateKeyPair, SignJWT, type JWK, type JWTPayload } from "jose";
import { z } from "zod";

/** A key of an imagined project: signs tokens, and shows its public half. */
export interface SigningKey {
  kid: string;
  jwk: JWK;
  /** What anybody can know of it, as text. */
  publicPem: string;
  sign: (claims: JWTPayload, header?: Record<string, unknown>) => Promise<string>;
}

export async function makeSigningKey(alg: "ES256" | "RS256", kid: string = randomUUID()): Promise<SigningKey> {
  const { privateKey, publicKey } = await generateKeyPair(alg);
  return {
    kid,
    jwk: { ...(await exportJWK(publicKey)), kid, alg, use: "sig" },
    publicPem: await exportSPKI(publicKey),
    sign: (claims, header = {}) =>
      new SignJWT(claims).setProtectedHeader({ alg, kid, typ: "JWT", ...header }).sign(privateKey),
  };
}

type Answer = (response: ServerResponse) => void;

export interface JwksLoopback {
  supabaseUrl: string;
  url: string;
  /** Requests for the key set so far. */
  request_count: number;
  /** How the next requests are answered. */
  answer: Answer;
  close: () => Promise<void>;
}

/** A project's key set on loopback; faults are put in through `answer`. */
export async function startJwksLoopback(): Promise<JwksLoopback> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = z.object({ port: z.int() }).parse(server.address());
  const supabaseUrl = `http://127.0.0.1:${port}`;
  const path = "/auth/v1/.well-known/jwks.json";
  const loopback: JwksLoopback = {
    supabaseUrl,
    url: `${supabaseUrl}${path}`,
    request_count: 0,
    answer: answerKeys(),
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
  server.on("request", (request, response) => {
    if (request.url !== path) {
      response.writeHead(404).end();
      return;
    }
    loopback.request_count += 1;
    loopback.answer(response);
  });
  return loopback;
}

export function answerKeys(...keys: readonly SigningKey[]): Answer {
  return answerText(JSON.stringify({ keys: keys.map(({ jwk }) => jwk) }));
}

export function answerText(text: string, status = 200): Answer {
  return (response) => {
    response.writeHead(status, { "content-type": "application/json" }).end(text);
  };
}
