import {
  createLocalJWKSet,
  decodeProtectedHeader,
  errors,
  type JSONWebKeySet,
  type JWTPayload,
  jwtVerify,
  SignJWT,
} from "jose";
import { refuse } from "./refusals.ts";

/** What a project's tokens are signed and checked with. */
export interface ProjectKeys {
  secret: Uint8Array;
  /** Public keys for user tokens of the newer kind. */
  jwks: JSONWebKeySet;
}

/** Signed once and for all, so that the same secret always gives the same keys. */
const KEY_ISSUED_AT = 1_700_000_000;
const KEY_EXPIRES_AT = 2_524_608_000;

export function signRoleKey(keys: ProjectKeys, role: "anon" | "service_role"): Promise<string> {
  return new SignJWT({ iss: "supabase", ref: "emulator", role })
    .setProtectedHeader({ alg: "HS256", typ: "JWT" })
    .setIssuedAt(KEY_ISSUED_AT)
    .setExpirationTime(KEY_EXPIRES_AT)
    .sign(keys.secret);
}

export function signLink(
  keys: ProjectKeys,
  link: { url: string; scope: "upload" | "download"; upsert?: boolean; seconds: number },
): Promise<string> {
  const { seconds, ...claims } = link;
  const issuedAt = Math.floor(Date.now() / 1000);
  return new SignJWT(claims)
    .setProtectedHeader({ alg: "HS256" })
    .setIssuedAt(issuedAt)
    .setExpirationTime(issuedAt + seconds)
    .sign(keys.secret);
}

/** The claims of a signed link for exactly this object; refuses as the service does, reason by reason. */
export async function verifyLink(
  keys: ProjectKeys,
  link: { token: string; url: string; scope: "upload" | "download" },
): Promise<JWTPayload> {
  const payload = await verifyToken(keys, link.token, refuse.invalidJwt);
  if (payload["scope"] !== link.scope) throw refuse.invalidSignature(`Token is not scoped for ${link.scope}`);
  if (payload["url"] !== link.url) throw refuse.invalidSignature();
  return payload;
}

/** Who calls: the role of the bearer token, or of the `apikey` where a gateway would put that in its place. */
export async function verifyCaller(
  keys: ProjectKeys,
  headers: { authorization?: string | undefined; apikey?: string | undefined },
): Promise<string> {
  const token = headers.authorization?.replace(/^Bearer\s+/iu, "") ?? headers.apikey;
  if (token === undefined) throw refuse.invalidRequest("headers must have required property 'authorization'");
  const { role } = await verifyToken(keys, token, refuse.accessDenied);
  return typeof role === "string" ? role : "anon";
}

async function verifyToken(keys: ProjectKeys, token: string, refusal: (message: string) => Error): Promise<JWTPayload> {
  try {
    if (decodeProtectedHeader(token).alg === "HS256") {
      return (await jwtVerify(token, keys.secret, { algorithms: ["HS256"] })).payload;
    }
    return (await jwtVerify(token, createLocalJWKSet(keys.jwks), { algorithms: ["ES256", "RS256"] })).payload;
  } catch (error) {
    if (error instanceof errors.JOSEError || error instanceof TypeError) throw refusal(error.message);
    throw error;
  }
}
