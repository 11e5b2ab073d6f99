import { loadEnvironment, type Environment } from "@pipeline/runtime";

/** The local stack's environment; `overrides` win, an empty one unsets, so that a command can choose its own data. */
export function loadLocalConfig(overrides: Record<string, string> = {}): Environment {
  return loadEnvironment({ ...process.env, ...overrides }, "local");
}

/** Fresh data of a command's own, whatever database the shell names: its documents must not end up among real ones. */
export const OWN_DATABASE = { DATABASE_URL: "", DATABASE_DIRECT_URL: "", SUPABASE_DB_HOST: "" };

/** Whether somebody asked for a level of log lines. */
export function isLogLevelChosen(): boolean {
  return Boolean(process.env["LOG_LEVEL"]);
}
