import { loadEnvironment, type Environment } from "@pipeline/runtime";

export function loadMigrateConfig(): Environment {
  return loadEnvironment(process.env, "migrate");
}
