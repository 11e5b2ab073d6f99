import { open, writeFile } from "node:fs/promises";
import { type Database, openPostgres } from "@pipeline/db";
import { AppError, ENVIRONMENTS, toAppError, parseOptions } from "@pipeline/runtime";
import { Command } from "commander";
import { z } from "zod";
import { loadValidateConfig, type ValidateConfig } from "./config.ts";
import { API_PREFIX } from "./deployment.ts";
import { createHttp } from "./http.ts";
import { isOfDeployment } from "./local-secret.ts";
import { createProgress } from "./progress.ts";
import { runValidation, type Validation } from "./run-validation.ts";
import { prepareTokens, type Tokens } from "./tokens.ts";
import { explainIncomplete, type Result, resultOf, writeReport } from "./write-report.ts";

const COULD_NOT_RUN = 2;
const EXIT_CODES: Readonly<Record<Result, number>> = { PASS: 0, FAIL: 1, INCOMPLETE: COULD_NOT_RUN };

const seconds = z.coerce.number().positive().max(3_600);
const optionsSchema = z.object({
  url: z.url({ protocol: /^https?$/ }).transform((url) => url.replace(/\/+$/, "")),
  report: z.string().optional(),
  json: z.boolean().default(false),
  token: z.string().min(1).optional(),
  otherToken: z.string().min(1).optional(),
  serviceKey: z.string().min(1).optional(),
  metricsToken: z.string().min(1).optional(),
  databaseUrl: z.url({ protocol: /^postgres(ql)?$/ }).optional(),
  schema: z.string().optional(),
  environment: z.enum(ENVIRONMENTS).optional(),
  origin: z.url().optional(),
  documentSeconds: seconds,
  maxLatencyMs: z.coerce.number().positive(),
});
type Options = z.infer<typeof optionsSchema>;

await new Command("validate")
  .description(
    "Walks the operators' guide against a running deployment: health, queue, a document from upload to search, security, speed.",
  )
  .requiredOption("--url <url>", "where the API is")
  .option("--report <file>", "write the dated report in Markdown")
  .option("--json", "print the findings as JSON instead of lines", false)
  .option(
    "--token <token>",
    "a user's token; made with SUPABASE_JWT_SECRET, or a local stack's own secret, if not given",
  )
  .option("--other-token <token>", "another user's token")
  .option("--service-key <key>", "for /admin: queue and alerts; SUPABASE_SERVICE_ROLE_KEY if not given")
  .option("--metrics-token <token>", "for metrics that are not open to everybody; METRICS_TOKEN if not given")
  .option("--database-url <url>", "look into its database as well, as its owner; everything is taken back")
  .option("--schema <name>", "the schema there; DATABASE_SCHEMA if not given")
  .option("--environment <name>", `what it must say that it is: ${ENVIRONMENTS.join(", ")}`)
  .option("--origin <origin>", "a page's origin that CORS_ORIGINS must allow")
  .option("--document-seconds <seconds>", "how long the test document may take to become complete", "120")
  .option("--max-latency-ms <ms>", "how long 95 of 100 requests may take at most", "2000")
  .addHelpText(
    "after",
    "\nOne small document is uploaded and deleted again. Exits with 0 when nothing failed, 1 when something did, 2 when it could not run, or\ncould not take the document through.",
  )
  // Commander's own 1 for a wrong option would say that the deployment is at fault.
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : COULD_NOT_RUN))
  .action(async (raw: unknown, command: Command) => {
    const options = parseOptions(optionsSchema, raw, command);
    process.exitCode = await validate(options).catch((error: unknown) => {
      process.stderr.write(`The validation could not run. ${toAppError(error).message}\n`);
      return COULD_NOT_RUN;
    });
  })
  .parseAsync();

async function validate(options: Options): Promise<number> {
  const config = await loadValidateConfig(options.url);
  if (options.report !== undefined) await requireWritable(options.report);
  const database = openDatabase(options, config);
  try {
    const validation = await walk(options, config, database);
    if (options.json) process.stdout.write(`${JSON.stringify(describe(validation), null, 2)}\n`);
    if (options.report !== undefined) {
      await writeFile(options.report, writeReport(validation));
      process.stderr.write(`Report: ${options.report}\n`);
    }
    return EXIT_CODES[resultOf(validation)];
  } finally {
    await database?.close();
  }
}

/** Before the walk, which takes a while. What stands there stays for now. */
async function requireWritable(path: string): Promise<void> {
  const file = await open(path, "a").catch((cause: unknown) => {
    const message = `The report cannot be written to ${path}.`;
    throw new AppError({ kind: "permanent", code: "report_not_writable", message, cause });
  });
  await file.close();
}

function describe(validation: Validation) {
  const missing = explainIncomplete(validation);
  return { result: resultOf(validation), ...(missing === undefined ? {} : { missing }), ...validation };
}

async function walk(options: Options, config: ValidateConfig, database: Database | undefined): Promise<Validation> {
  const stopping = new AbortController();
  const onSignal = (): void => {
    if (stopping.signal.aborted) process.exit(COULD_NOT_RUN);
    process.stderr.write("Stopping, and deleting the document …\n");
    stopping.abort();
  };
  process.on("SIGINT", onSignal).on("SIGTERM", onSignal);
  const progress = createProgress(options.json ? undefined : process.stdout);
  const { url, environment, origin, maxLatencyMs, documentSeconds } = options;
  const validation = await runValidation({
    settings: {
      url,
      environment,
      origin,
      maxLatencyMs,
      documentTimeoutMs: documentSeconds * 1_000,
      maxRetries: config.maxRetries,
    },
    tokens: await findTokens(options, config),
    database,
    onFinding: progress.show,
    signal: stopping.signal,
  });
  progress.end(validation);
  return validation;
}

async function findTokens(options: Options, config: ValidateConfig): Promise<Tokens> {
  const { url, token, otherToken } = options;
  const { localSecret, supabaseUrl } = config;
  const api = createHttp(`${url}${API_PREFIX}`);
  const isForeign = localSecret !== undefined && !(await isOfDeployment(localSecret, { api, token }));
  const tokens = await prepareTokens({
    jwtSecret: config.jwtSecret ?? (isForeign ? undefined : localSecret?.secret),
    supabaseUrl,
    token,
    otherToken,
    serviceKey: options.serviceKey ?? config.serviceKey,
    metricsToken: options.metricsToken ?? config.metricsToken,
  });
  return isForeign ? { ...tokens, foreignSecretPath: localSecret.path } : tokens;
}

function openDatabase({ databaseUrl, schema }: Options, config: ValidateConfig): Database | undefined {
  if (databaseUrl === undefined) return undefined;
  return openPostgres({
    url: databaseUrl,
    schemaName: schema ?? config.schemaName,
    applicationName: "upload-pipeline validate",
    poolSize: 2,
    onIdleError: () => undefined,
  });
}
