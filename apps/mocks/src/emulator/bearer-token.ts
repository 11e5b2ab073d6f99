import type { FastifyRequest } from "fastify";

/** The token of `Authorization: Bearer …`; undefined without one. */
export function bearerToken(request: FastifyRequest): string | undefined {
  return /^Bearer\s+(\S+)\s*$/i.exec(request.headers.authorization ?? "")?.[1];
}

/** Without a list any key of the service's usual form is good: nobody wants to share a key with an emulator. */
export function isKnownKey(key: string, known: { keys: readonly string[] | undefined; prefix: string }): boolean {
  return known.keys === undefined ? key.startsWith(known.prefix) : known.keys.includes(key);
}
