import { openDatabase } from "@pipeline/composition";
import { allowServiceLogins, migrate } from "@pipeline/db";
import { createLogger, toAppError } from "@pipeline/runtime";
import { Command } from "commander";
import { loadMigrateConfig } from "./config.ts";

await new Command("migrate")
  .description("Brings the schema DATABASE_SCHEMA of DATABASE_URL to the newest version, all or nothing.")
  .action(async () => {
    const environment = loadMigrateConfig();
    const log = createLogger({ level: environment.LOG_LEVEL, service: "migrate" });
    const database = await openDatabase(environment, "migrate", log);
    let isMigrated = false;
    try {
      const { applied, version } = await migrate(database);
      const done = applied.length === 0 ? "nothing to apply" : `applied ${applied.join(", ")}`;
      process.stdout.write(`Schema ${database.schemaName}: ${done}, now at version ${version}.\n`);
      isMigrated = true;
      const { DATABASE_API_PASSWORD: api, DATABASE_WORKER_PASSWORD: worker } = environment;
      const roles = await allowServiceLogins(database, { api, worker });
      if (roles.length > 0) process.stdout.write(`May log in: ${roles.join(", ")}.\n`);
    } catch (error) {
      const { code, message } = toAppError(error);
      process.stderr.write(
        `${isMigrated ? "No service was let in" : "Migration failed, nothing was changed"}. ${code}: ${message}\n`,
      );
      log.error({ err: error }, "migration failed");
      process.exitCode = 1;
    } finally {
      await database.close();
    }
  })
  .parseAsync();
