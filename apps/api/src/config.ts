import { loadEnvironment, type Environment } from "@pipeline/runtime";
import manifest from "../package.json" with { type: "json" };

export interface ApiConfig {
  environment: Environment;
  /** Version of the API, with the commit that Render built from. */
  build: string;
}

/** Throws ConfigError with every fault. */
export function loadApiConfig(): ApiConfig {
  const commit = process.env["RENDER_GIT_COMMIT"]?.slice(0, 12);
  return {
    environment: loadEnvironment(process.env, "api"),
    build: commit ? `${manifest.version}+${commit}` : manifest.version,
  };
}
