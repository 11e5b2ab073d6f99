import { createHmac, type KeyObject } from "node:crypto";
import type { AppError } from "@pipeline/runtime";
import { errors, jwtVerify } from "jose";

const HEADER = Buffer.from(JSON.stringify({ alg: "HS256" })).toString("base64url");

/**
 * A JSON Web Token (RFC 7519, HS256) of these claims, good from now on for so long. jose, which verifies it, signs on
 * another thread; that took a fifth of all that an upload costs the API.
 */
export function signToken(
  claims: Record<string, unknown>,
  { key, seconds }: { key: KeyObject; seconds: number },
): string {
  const iat = Math.floor(Date.now() / 1_000);
  const payload = Buffer.from(JSON.stringify({ ...claims, iat, exp: iat + seconds })).toString("base64url");
  const signed = `${HEADER}.${payload}`;
  return `${signed}.${createHmac("sha256", key).update(signed).digest("base64url")}`;
}

/** The claims of a token that is good; throws `refusals.expired` for one that was, `refusals.invalid` for any other. */
export async function verifyToken(
  token: string,
  key: KeyObject,
  refusals: { expired: (cause: unknown) => AppError; invalid: (cause: unknown) => AppError },
): Promise<unknown> {
  try {
    const { payload } = await jwtVerify(token, key, { algorithms: ["HS256"], requiredClaims: ["iat", "exp"] });
    return payload;
  } catch (error) {
    if (error instanceof errors.JWTExpired) throw refusals.expired(error);
    throw error instanceof errors.JOSEError ? refusals.invalid(error) : error;
  }
}
