import { loadEnvironment, type Environment } from "@pipeline/runtime";

/** The local stack's environment; `overrides` win, so that a command can choose a place for its data. */
export function loadLocalConfig(overrides: Record<string, string> = {}): Environment {
  return loadEnvironment({ ...process.env, ...overrides }, "local");
}
