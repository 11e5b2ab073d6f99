import { developmentUser } from "@pipeline/composition";
import { Command } from "commander";
import { parseOptions } from "@pipeline/runtime";
import { z } from "zod";
import { signDevelopmentToken, signServiceToken } from "./auth/sign-development-token.ts";
import { tokenSettings } from "./auth/token-settings.ts";
import { issuerOf } from "./auth/verify-signature.ts";
import { loadTokenConfig } from "./config.ts";

const optionsSchema = z.object({
  user: z.uuid().optional(),
  service: z.boolean().default(false),
  hours: z.coerce.number().positive().max(8_760),
});
const HOUR_SECONDS = 3_600;

await new Command("dev-token")
  .description("Prints a development token for the API, signed with SUPABASE_JWT_SECRET or the secret in DATA_DIR.")
  .option("--user <uuid>", "whose token it is (default: the development user kept in DATA_DIR)")
  .option("--service", "a token of the service role, for /admin, instead of a user's")
  .option("--hours <hours>", "how long it is valid", "24")
  .action(async (raw: unknown, command: Command) => {
    const options = parseOptions(optionsSchema, raw, command);
    const environment = loadTokenConfig();
    const { secret, supabaseUrl } = await tokenSettings(environment);
    if (secret === undefined) {
      command.error("SUPABASE_JWT_SECRET is missing: with SUPABASE_URL alone only that project can sign tokens.");
    }
    const common = {
      secret,
      ...(supabaseUrl === undefined ? {} : { issuer: issuerOf(supabaseUrl) }),
      expiresInSeconds: Math.round(options.hours * HOUR_SECONDS),
    };
    const token = options.service
      ? await signServiceToken(common)
      : await signDevelopmentToken({ ...common, userId: options.user ?? (await developmentUser(environment)) });
    process.stdout.write(`${token}\n`);
  })
  .parseAsync();
