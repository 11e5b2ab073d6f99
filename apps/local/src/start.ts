import { dataDirectory, developmentUser, listenPort } from "@pipeline/composition";
import { createLogger, toAppError, type Environment } from "@pipeline/runtime";
import { Command } from "commander";
import { loadLocalConfig } from "./config.ts";
import { startStack, type LocalStack } from "./stack.ts";

await new Command("start")
  .description("Runs API and worker in one process on embedded stand-ins and keeps the data in DATA_DIR (.data).")
  .action(async () => {
    const environment = loadLocalConfig();
    const log = createLogger({ level: environment.LOG_LEVEL, service: "local" });
    process.stdout.write("Starting …\n");
    const stack = await startStack({ environment, log, port: listenPort(environment) }).catch((error: unknown) => {
      process.stderr.write(`${explainStart(error, environment)}\n`);
      process.exit(1);
    });
    stopOnSignal(stack);
    await printWelcome(stack, environment);
  })
  .parseAsync();

function explainStart(error: unknown, environment: Environment): string {
  if (error instanceof Error && "code" in error && error.code === "EADDRINUSE") {
    return `Port ${listenPort(environment)} is taken by another process. Stop it, or set SERVICE_PORT to another port.`;
  }
  const { code, message } = toAppError(error);
  return `${code}: ${message}`;
}

/** The first Ctrl-C stops cleanly, the second at once. */
function stopOnSignal(stack: LocalStack): void {
  let stopping = false;
  const onSignal = (): void => {
    if (stopping) process.exit(1);
    stopping = true;
    process.stdout.write("\nStopping …\n");
    void (async () => {
      try {
        await stack.stop();
        process.stdout.write("Stopped. The next start finds the data again.\n");
        process.exit(0);
      } catch (error) {
        process.stderr.write(`Stopping failed. ${toAppError(error).message}\n`);
        process.exit(1);
      }
    })();
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
}

async function printWelcome(stack: LocalStack, environment: Environment): Promise<void> {
  const directory = dataDirectory(environment);
  const token = await stack.signToken(await developmentUser(environment));
  process.stdout.write(`
API     ${stack.url}
Data    ${directory}
Token   (valid for a day; \`pnpm token\` makes others)
${token}

Try     curl -H "authorization: Bearer $TOKEN" ${stack.url}/api/upload-pipeline/documents
Stop    Ctrl-C
`);
}
