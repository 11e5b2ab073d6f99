import { hash } from "node:crypto";
import { LRUCache } from "lru-cache";
import { z } from "zod";
import { unauthorized } from "./unauthorized.ts";
import { createSignatureVerifier, issuerOf, type TokenVerifierOptions } from "./verify-signature.ts";

/** Who a valid token speaks for. */
export interface Identity {
  /** Lower-case UUID: ids of documents are made of it. */
  user_id: string;
  expires_at: Date;
}

/**
 * Throws AppError: `unauthorized`, whatever is wrong with the token, or `auth_keys_unavailable` (transient) where the
 * keys to judge it by could not be fetched.
 */
export type TokenVerifier = (token: string) => Promise<Identity>;

/** ECMAScript's; 8.64e15 milliseconds. */
const LAST_DATE_SECONDS = 8_640_000_000_000;

// Only what users cannot write themselves counts: user_metadata never does. Service and anonymous keys are tokens of
// the same keys, so the role is what tells a user's from theirs.
const userClaims = z.object({
  sub: z.guid().toLowerCase(),
  role: z.literal("authenticated"),
  // Later than the last date that there is, and what ends with the token would never end.
  exp: z.number().max(LAST_DATE_SECONDS),
});

/** Verifies Supabase's user tokens; nobody is asked but for the project's public keys, now and then. */
export function createTokenVerifier(options: TokenVerifierOptions): TokenVerifier {
  const verifySignature = createSignatureVerifier(options);
  const expected = {
    audience: "authenticated",
    requiredClaims: ["sub", "exp"],
    ...(options.supabaseUrl === undefined ? {} : { issuer: issuerOf(options.supabaseUrl) }),
  };
  const known = new LRUCache<string, Identity>({ max: MOST_KNOWN, ttl: KNOWN_MS, ttlResolution: 0, perf: CLOCK });
  return async (token) => {
    const digest = hash("sha256", token, "base64url");
    const found = known.get(digest);
    if (found !== undefined && found.expires_at.getTime() > Date.now()) return found;
    const claims = userClaims.safeParse(await verifySignature(token, expected));
    if (!claims.success) throw unauthorized(claims.error);
    const identity = { user_id: claims.data.sub, expires_at: new Date(claims.data.exp * 1_000) };
    known.set(digest, identity);
    return identity;
  };
}

/** The one that tokens end by. */
const CLOCK = { now: () => Date.now() };
/**
 * A token that was good is taken for so long without its signature being verified again, which costs as much as the rest of
 * a small request. Public keys that the project withdraws are remembered for longer than that anyway.
 */
const KNOWN_MS = 30_000;
/** Some 300 bytes each. */
const MOST_KNOWN = 10_000;
