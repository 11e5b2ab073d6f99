import { loadEnvironment, type Environment } from "@pipeline/runtime";
import manifest from "../package.json" with { type: "json" };

export interface ApiConfig {
  environment: Environment;
  /** Version of the API, with the commit that it was built from. */
  build: string;
}

/** Prints every fault and ends the process when the configuration is broken. */
export function loadApiConfig(): ApiConfig {
  const environment = loadEnvironment(process.env, "api");
  const commit = process.env["RENDER_GIT_COMMIT"] ?? environment.BUILD_COMMIT;
  return { environment, build: `${manifest.version}+${commit.slice(0, 12)}` };
}

/** For the command that signs development tokens, which needs no database and is refused in staging and production. */
export function loadTokenConfig(): Environment {
  return loadEnvironment(process.env, "local");
}
