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

// Only what users cannot write themselves counts: user_metadata never does. Service and anonymous keys are tokens of
// the same keys, so the role is what tells a user's from theirs.
const userClaims = z.object({ sub: z.guid().toLowerCase(), role: z.literal("authenticated"), exp: z.number() });

/** Verifies Supabase's user tokens; nobody is asked but for the project's public keys, now and then. */
export function createTokenVerifier(options: TokenVerifierOptions): TokenVerifier {
  const verifySignature = createSignatureVerifier(options);
  const expected = {
    audience: "authenticated",
    requiredClaims: ["sub", "exp"],
    ...(options.supabaseUrl === undefined ? {} : { issuer: issuerOf(options.supabaseUrl) }),
  };
  return async (token) => {
    const claims = userClaims.safeParse(await verifySignature(token, expected));
    if (!claims.success) throw unauthorized(claims.error);
    return { user_id: claims.data.sub, expires_at: new Date(claims.data.exp * 1_000) };
  };
}
