import { tokenSecret } from "@pipeline/composition";
import type { Environment } from "@pipeline/runtime";
import type { TokenVerifierOptions } from "./verify-signature.ts";

/**
 * What tokens are verified with, by what is configured. The development secret serves only where nothing else does:
 * beside a real project it would be a second way in.
 */
export async function tokenSettings(environment: Environment): Promise<TokenVerifierOptions> {
  const { SUPABASE_URL: supabaseUrl, SUPABASE_JWT_SECRET: secret } = environment;
  if (supabaseUrl === undefined) return { secret: await tokenSecret(environment) };
  return { supabaseUrl, ...(secret === undefined ? {} : { secret }) };
}
