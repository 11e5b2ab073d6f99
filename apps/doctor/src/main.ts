import { openDatabase } from "@pipeline/composition";
import { checkSchemaVersion, diagnose, type DiagnoseOptions, type Diagnosis } from "@pipeline/db";
import {
  ConfigError,
  createLogger,
  type Environment,
  formatFailure,
  readCommandLine,
  toAppError,
  parseOptions,
} from "@pipeline/runtime";
import { Command } from "commander";
import { z } from "zod";
import { loadDoctorConfig } from "./config.ts";
import { formatReport, isViolated } from "./report.ts";

const SOUND = 0;
const VIOLATED = 1;
const COULD_NOT_LOOK = 2;

const optionsSchema = z.object({
  json: z.boolean().default(false),
  all: z.boolean().default(false),
  only: z
    .string()
    .transform((names) => names.split(",").map((name) => name.trim()))
    .optional(),
  maxInHandPerUser: z.coerce.number().int().min(0).optional(),
});
type DoctorOptions = z.infer<typeof optionsSchema>;

// Commander's own 1 for a wrong option would say that something is violated.
const line = readCommandLine(process.argv.slice(2), { usageExitCode: COULD_NOT_LOOK });
await new Command("doctor")
  .configureOutput(line.output)
  .exitOverride(line.exit)
  .description(
    "Checks every invariant that the database of DATABASE_URL can show, in one snapshot, and changes nothing.",
  )
  .option("--json", "print JSON")
  .option("--all", "read the history and content of every job and document, not only of those that changed last")
  .option("--only <invariants>", "check these only, such as I2,I4")
  .option(
    "--max-in-hand-per-user <jobs>",
    "check that no user has more jobs in hand than this (I11); WORKER_MAX_JOBS_PER_USER by default",
  )
  .addHelpText("after", "\nExits with 0 when everything holds, 1 when something does not, 2 when it could not look.")
  .action(async (raw: unknown, command: Command) => {
    const options = parseOptions(optionsSchema, raw, command);
    process.exitCode = await examine(options);
  })
  .parseAsync(line.args, { from: "user" });

async function examine(options: DoctorOptions): Promise<number> {
  try {
    const diagnoses = await readDatabase(options);
    const isSound = !diagnoses.some(isViolated);
    process.stdout.write(
      options.json ? `${JSON.stringify({ is_sound: isSound, diagnoses }, null, 2)}\n` : formatReport(diagnoses),
    );
    return isSound ? SOUND : VIOLATED;
  } catch (error) {
    const { code, message } = describeFailure(error);
    const told = `The doctor could not look. ${code}: ${message}\n`;
    process.stderr.write(options.json ? formatFailure({ code, message }) : told);
    return COULD_NOT_LOOK;
  }
}

async function readDatabase(options: DoctorOptions): Promise<Diagnosis[]> {
  const environment = loadDoctorConfig();
  // Standard output is the report's alone.
  const log = createLogger({ level: environment.LOG_LEVEL, service: "doctor", stream: process.stderr });
  const database = await openDatabase(environment, "doctor", log);
  try {
    await checkSchemaVersion(database);
    return await diagnose(database, diagnoseOptions(options, environment));
  } finally {
    await database.close();
  }
}

function diagnoseOptions(options: DoctorOptions, environment: Environment): DiagnoseOptions {
  return {
    maxRetries: environment.WORKER_MAX_RETRIES,
    maxInHandPerUser: options.maxInHandPerUser ?? environment.WORKER_MAX_JOBS_PER_USER,
    ...(options.all ? { recentJobs: null, recentDocuments: null } : {}),
    ...(options.only === undefined ? {} : { only: options.only }),
  };
}

function describeFailure(error: unknown): { code: string; message: string } {
  if (error instanceof ConfigError) return { code: "invalid_config", message: error.message };
  const { code, message } = toAppError(error);
  return { code, message };
}
