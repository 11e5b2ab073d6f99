import { ConfigError, environmentSchema } from "@pipeline/runtime";

/** Emulators take any key and keep documents in memory: throws ConfigError where real ones may come. */
export function assertDevelopment(): void {
  // An empty value counts as unset, as everywhere.
  const environment = environmentSchema.shape.ENVIRONMENT.safeParse(process.env["ENVIRONMENT"] || undefined);
  if (environment.data === "development" || environment.data === "test") return;
  throw new ConfigError(["ENVIRONMENT must be development or test: emulators are refused here"]);
}
