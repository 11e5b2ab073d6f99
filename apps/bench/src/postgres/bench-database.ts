import { type Database, openPostgres } from "@pipeline/db";

/** A pool on one of the benchmark's databases. */
export function openBenchDatabase(url: string, options: { poolSize: number }): Database {
  return openPostgres({
    url,
    schemaName: "upload_pipeline",
    applicationName: "bench",
    poolSize: options.poolSize,
    // Databases are dropped under connections that are on their way out; statements that matter fail by themselves.
    onIdleError: () => undefined,
  });
}
