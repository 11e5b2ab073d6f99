import { randomUUID } from "node:crypto";
import { signDevelopmentToken } from "@pipeline/api";
import { tokenSecret } from "@pipeline/composition";
import { Command } from "commander";
import { z } from "zod";
import { loadLocalConfig } from "./config.ts";

const DAY_SECONDS = 86_400;

const program = new Command("token")
  .description("Prints a token for the API, signed with SUPABASE_JWT_SECRET or the development secret in DATA_DIR.")
  .option("--user <uuid>", "whose token it is", randomUUID())
  .option("--hours <hours>", "how long it is valid", "24")
  .action(async (raw: unknown) => {
    const options = z.object({ user: z.uuid(), hours: z.coerce.number().positive().max(8_760) }).safeParse(raw);
    if (!options.success) {
      program.error(options.error.issues.map((issue) => `--${issue.path.join(".")}: ${issue.message}`).join("\n"));
    }
    const environment = loadLocalConfig();
    const token = await signDevelopmentToken({
      secret: await tokenSecret(environment),
      userId: options.data.user,
      expiresInSeconds: Math.round((options.data.hours / 24) * DAY_SECONDS),
    });
    process.stdout.write(`${token}\n`);
  });

await program.parseAsync();
