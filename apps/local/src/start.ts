import { randomUUID } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { dataDirectory, listenPort } from "@pipeline/composition";
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
  const token = await stack.signToken(await developmentUser(directory));
  process.stdout.write(`
API     ${stack.url}
Data    ${directory}
Token   (valid for a day; \`pnpm token\` makes others)
${token}

Try     curl -H "authorization: Bearer $TOKEN" ${stack.url}/api/upload-pipeline/documents
Stop    Ctrl-C
`);
}

/** The same user at every start, so that yesterday's documents are there today. */
async function developmentUser(directory: string): Promise<string> {
  const path = join(directory, "development-user");
  const known = await readFile(path, "utf8").catch(() => "");
  if (known !== "") return known.trim();
  const userId = randomUUID();
  await writeFile(path, userId, { mode: 0o600 });
  return userId;
}
