import { dataDirectory, developmentUser, listenPort } from "@pipeline/composition";
import { createLogger, explainFailure, type Environment } from "@pipeline/runtime";
import { Command, InvalidArgumentError } from "commander";
import { z } from "zod";
import { isLogLevelChosen, loadLocalConfig } from "./config.ts";
import { openMocks, type OpenedMocks } from "./open-mocks.ts";
import { startStack, type LocalStack } from "./stack.ts";

const optionsSchema = z.object({ mocks: z.union([z.literal(true), z.number()]).optional() });

await new Command("start")
  .description("Runs API and worker in one process on embedded stand-ins and keeps the data in DATA_DIR (.data).")
  .option(
    "--mocks [port]",
    "emulators of LlamaParse, OpenAI and Supabase instead, on this port and the next two (8001); nothing is kept",
    readPort,
  )
  .addHelpText("after", "\nLOG_LEVEL=info shows a line per request and stage. DATABASE_URL takes another database.")
  .action(async (raw: unknown) => {
    const { mocks: asked } = optionsSchema.parse(raw);
    const mocks = asked === undefined ? undefined : await openOrExit(asked);
    const environment = mocks?.environment ?? loadLocalConfig();
    // Unless somebody asks for them, log lines would push the token off the screen.
    const level = isLogLevelChosen() ? environment.LOG_LEVEL : "warn";
    const log = createLogger({ level, service: "local" });
    process.stdout.write("Starting …\n");
    const starting = startStack({ environment, log, port: listenPort(environment) });
    stopOnSignal(starting, mocks);
    const stack = await starting.catch(async (error: unknown) => {
      await mocks?.close();
      process.stderr.write(`${explainStart(error, environment)}\n`);
      process.exit(1);
    });
    await printWelcome(stack, { environment, mocks });
  })
  .parseAsync();

function readPort(text: string): number {
  const port = z.coerce.number().int().min(0).max(65_533).safeParse(text);
  if (!port.success) throw new InvalidArgumentError("It must be a port.");
  return port.data;
}

async function openOrExit(asked: true | number): Promise<OpenedMocks> {
  try {
    return await openMocks(asked === true ? undefined : asked);
  } catch (error) {
    process.stderr.write(`The emulators did not start. ${explainFailure(error)}\n`);
    process.exit(1);
  }
}

function explainStart(error: unknown, environment: Environment): string {
  if (error instanceof Error && "code" in error && error.code === "EADDRINUSE") {
    return `Port ${listenPort(environment)} is taken by another process. Stop it, or set SERVICE_PORT to another port.`;
  }
  return explainFailure(error);
}

/** The first Ctrl-C stops cleanly, even in the middle of the start; the second at once. */
function stopOnSignal(starting: Promise<LocalStack>, mocks: OpenedMocks | undefined): void {
  let stopping = false;
  const onSignal = (): void => {
    if (stopping) process.exit(1);
    stopping = true;
    process.stdout.write("\nStopping …\n");
    void (async () => {
      try {
        const stack = await starting;
        await stack.stop();
        await mocks?.close();
        process.stdout.write(`Stopped. ${mocks ? "Nothing was kept." : "The next start finds the data again."}\n`);
        process.exit(0);
      } catch (error) {
        process.stderr.write(`Stopping failed. ${explainFailure(error)}\n`);
        process.exit(1);
      }
    })();
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
}

/** What commands beside the emulators sign with; a configured secret is nobody's to print. */
function emulatedProject(mocks: OpenedMocks | undefined): string {
  const environment = mocks?.environment;
  if (environment === undefined) return "";
  const names = ["SUPABASE_URL", "SUPABASE_JWT_SECRET", "SUPABASE_SERVICE_ROLE_KEY"] as const;
  return names.map((name) => `${name}=${environment[name] ?? ""} `).join("");
}

async function printWelcome(
  stack: LocalStack,
  { environment, mocks }: { environment: Environment; mocks: OpenedMocks | undefined },
): Promise<void> {
  const token = await stack.signToken(await developmentUser(environment));
  const database = stack.database.kind === "embedded" ? "embedded" : "the server that DATABASE_URL names";
  const emulators = (mocks?.described ?? []).map(([name, url]) => `${name.padEnd(12)}${url}, emulated\n`).join("");
  process.stdout.write(`
API       ${stack.url}
Database  ${database}, schema ${stack.database.schemaName}
${emulators || `Data      ${dataDirectory(environment)}\n`}Token     (valid for a day; \`${emulatedProject(mocks)}npx -y pnpm@12 dev-token\` makes others)
${token}

Try       curl -H "authorization: Bearer $TOKEN" ${stack.url}/api/upload-pipeline/documents
Stop      Ctrl-C, or SIGTERM to process ${process.pid}
`);
}
