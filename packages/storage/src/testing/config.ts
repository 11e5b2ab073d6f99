export interface LiveSupabase {
  url: string;
  serviceRoleKey: string;
  /** Signs the project's links, on projects of the older kind; undefined where nobody outside knows it. */
  jwtSecret: string | undefined;
}

/** The project that TEST_SUPABASE_URL and TEST_SUPABASE_SERVICE_ROLE_KEY name; undefined without both. */
export function liveSupabase(): LiveSupabase | undefined {
  const url = process.env["TEST_SUPABASE_URL"] || undefined;
  const serviceRoleKey = process.env["TEST_SUPABASE_SERVICE_ROLE_KEY"] || undefined;
  if (url === undefined || serviceRoleKey === undefined) return undefined;
  return { url, serviceRoleKey, jwtSecret: process.env["TEST_SUPABASE_JWT_SECRET"] || undefined };
}
