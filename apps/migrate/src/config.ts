import { loadEnvironment, type Environment } from "@pipeline/runtime";

/** MIGRATE_DATABASE_URL names the schema's owner where DATABASE_URL, or its parts, are a service's own login. */
export function loadMigrateConfig(variables: NodeJS.ProcessEnv = process.env): Environment {
  const owner = variables["MIGRATE_DATABASE_URL"] ?? "";
  return loadEnvironment(
    owner === "" ? variables : { ...variables, DATABASE_URL: owner, SUPABASE_DB_HOST: "" },
    "migrate",
  );
}
