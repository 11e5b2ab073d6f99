import { createSecretKey, type KeyObject } from "node:crypto";
import { AppError } from "@pipeline/runtime";
import { decodeProtectedHeader, errors, jwtVerify, type CryptoKey, type JWTPayload, type JWTVerifyOptions } from "jose";
import { createPublicKeys, type FindPublicKey } from "./public-keys.ts";
import { unauthorized } from "./unauthorized.ts";

/** What tokens are verified with; at least one of the two. */
export interface TokenVerifierOptions {
  /** The project's JWT secret (HS256); its UTF-8 bytes are the key, as Supabase has it. */
  secret?: string;
  /** The project, whose public keys (ES256, RS256) are fetched from it and whose users' tokens name it as their issuer. */
  supabaseUrl?: string;
}

/** The claims of a token whose signature and time are good; throws `unauthorized` or `auth_keys_unavailable`. */
export type VerifySignature = (
  token: string,
  expected: Pick<JWTVerifyOptions, "audience" | "issuer" | "requiredClaims">,
) => Promise<JWTPayload>;

/** Where Supabase's auth service answers; users' tokens carry it as `iss`. */
export function issuerOf(supabaseUrl: string): string {
  return `${supabaseUrl}/auth/v1`;
}

/** Clocks of two machines differ by this much without anybody noticing. */
const CLOCK_TOLERANCE_SECONDS = 5;

/** A user's token has about 1 KB; metadata can make it a few. More is not worth decoding. */
const MAX_TOKEN_CHARS = 8_192;
const MAX_KEY_NAME_CHARS = 200;

export function createSignatureVerifier({ secret, supabaseUrl }: TokenVerifierOptions): VerifySignature {
  if (secret === undefined && supabaseUrl === undefined) {
    throw new AppError({
      kind: "invalid",
      code: "invalid_config",
      message: "Tokens need SUPABASE_JWT_SECRET or SUPABASE_URL to be verified with.",
    });
  }
  const keys: KeySources = {
    secretKey: secret === undefined ? undefined : createSecretKey(secret, "utf8"),
    findPublicKey:
      supabaseUrl === undefined
        ? undefined
        : createPublicKeys({ url: `${issuerOf(supabaseUrl)}/.well-known/jwks.json` }),
  };
  return async (token, expected) => {
    if (token.length > MAX_TOKEN_CHARS) throw unauthorized();
    const { alg, key } = await chooseKey(readHeader(token), keys);
    try {
      const options = { ...expected, algorithms: [alg], clockTolerance: CLOCK_TOLERANCE_SECONDS };
      return (await jwtVerify(token, key, options)).payload;
    } catch (error) {
      throw error instanceof errors.JOSEError ? unauthorized(error) : error;
    }
  };
}

interface KeySources {
  secretKey: KeyObject | undefined;
  findPublicKey: FindPublicKey | undefined;
}

/**
 * Each algorithm has one source of keys, and only those that are configured count. So a public key is never used as an
 * HMAC secret, and what the header says can choose among our keys but never add one.
 */
async function chooseKey(
  { alg, kid }: { alg?: unknown; kid?: unknown },
  { secretKey, findPublicKey }: KeySources,
): Promise<{ alg: string; key: KeyObject | CryptoKey }> {
  if (alg === "HS256" && secretKey !== undefined) return { alg, key: secretKey };
  if ((alg === "ES256" || alg === "RS256") && findPublicKey !== undefined) {
    if (typeof kid !== "string" || kid.length > MAX_KEY_NAME_CHARS) throw unauthorized();
    return { alg, key: await findPublicKey({ alg, kid }) };
  }
  throw unauthorized();
}

function readHeader(token: string): { alg?: unknown; kid?: unknown } {
  try {
    return decodeProtectedHeader(token);
  } catch (error) {
    throw unauthorized(error);
  }
}
