import { dataDirectory, developmentUser, listenPort } from "@pipeline/composition";
import { createLogger, explainFailure, type Environment } from "@pipeline/runtime";
import { Command } from "commander";
import { isLogLevelChosen, loadLocalConfig } from "./config.ts";
import { startStack, type LocalStack } from "./stack.ts";

await new Command("start")
  .description("Runs API and worker in one process on embedded stand-ins and keeps the data in DATA_DIR (.data).")
  .addHelpText("after", "\nLOG_LEVEL=info shows a line per request and stage. DATABASE_URL takes another database.")
  .action(async () => {
    const environment = loadLocalConfig();
    // Unless somebody asks for them, log lines would push the token off the screen.
    const level = isLogLevelChosen() ? environment.LOG_LEVEL : "warn";
    const log = createLogger({ level, service: "local" });
    process.stdout.write("Starting …\n");
    const starting = startStack({ environment, log, port: listenPort(environment) });
    stopOnSignal(starting);
    const stack = await starting.catch((error: unknown) => {
      process.stderr.write(`${explainStart(error, environment)}\n`);
      process.exit(1);
    });
    await printWelcome(stack, environment);
  })
  .parseAsync();

function explainStart(error: unknown, environment: Environment): string {
  if (error instanceof Error && "code" in error && error.code === "EADDRINUSE") {
    return `Port ${listenPort(environment)} is taken by another process. Stop it, or set SERVICE_PORT to another port.`;
  }
  return explainFailure(error);
}

/** The first Ctrl-C stops cleanly, even in the middle of the start; the second at once. */
function stopOnSignal(starting: Promise<LocalStack>): void {
  let stopping = false;
  const onSignal = (): void => {
    if (stopping) process.exit(1);
    stopping = true;
    process.stdout.write("\nStopping …\n");
    void (async () => {
      try {
        const stack = await starting;
        await stack.stop();
        process.stdout.write("Stopped. The next start finds the data again.\n");
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

async function printWelcome(stack: LocalStack, environment: Environment): Promise<void> {
  const token = await stack.signToken(await developmentUser(environment));
  const database = stack.database.kind === "embedded" ? "embedded" : "the server that DATABASE_URL names";
  process.stdout.write(`
API       ${stack.url}
Database  ${database}, schema ${stack.database.schemaName}
Data      ${dataDirectory(environment)}
Token     (valid for a day; \`pnpm dev-token\` makes others)
${token}

Try       curl -H "authorization: Bearer $TOKEN" ${stack.url}/api/upload-pipeline/documents
Stop      Ctrl-C
`);
}
