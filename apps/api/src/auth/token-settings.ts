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

/** The key of the project's service role, if there is a project. */
export function serviceKey({ SUPABASE_SERVICE_ROLE_KEY }: Environment): { serviceRoleKey?: string } {
  return SUPABASE_SERVICE_ROLE_KEY === undefined ? {} : { serviceRoleKey: SUPABASE_SERVICE_ROLE_KEY };
}
