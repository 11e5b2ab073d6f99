import { createHash, timingSafeEqual } from "node:crypto";
import { z } from "zod";
import { unauthorized } from "./unauthorized.ts";
import { createSignatureVerifier, issuerOf, type TokenVerifierOptions } from "./verify-signature.ts";

/** Resolves for a token of the service role, and throws what a TokenVerifier throws for any other. */
export type ServiceVerifier = (token: string) => Promise<void>;

export interface ServiceVerifierOptions extends TokenVerifierOptions {
  /** SUPABASE_SERVICE_ROLE_KEY. Newer projects' keys are no JWTs, so the key itself is what proves them. */
  serviceRoleKey?: string;
}

const serviceClaims = z.object({ role: z.literal("service_role") });

/** Supabase issues service keys under this name instead of the project's address. */
const ISSUER_OF_KEYS = "supabase";

/**
 * Verifies who may act on everybody's jobs: the configured service key itself, or a token of the service role signed
 * with the project's keys. Such tokens belong to no user, so neither subject nor audience is asked for.
 */
export function createServiceVerifier(options: ServiceVerifierOptions): ServiceVerifier {
  const verifySignature = createSignatureVerifier(options);
  const { supabaseUrl, serviceRoleKey } = options;
  const expected = {
    requiredClaims: ["exp"],
    ...(supabaseUrl === undefined ? {} : { issuer: [issuerOf(supabaseUrl), ISSUER_OF_KEYS] }),
  };
  return async (token) => {
    if (serviceRoleKey !== undefined && isSameSecret(token, serviceRoleKey)) return;
    const claims = serviceClaims.safeParse(await verifySignature(token, expected));
    if (!claims.success) throw unauthorized(claims.error);
  };
}

/** Digests have one length, and comparing them takes one time, whatever was sent. */
function isSameSecret(given: string, secret: string): boolean {
  return timingSafeEqual(digest(given), digest(secret));
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
