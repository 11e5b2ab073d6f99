import { ConfigError, explainFailure } from "@pipeline/runtime";
import type { Command } from "commander";
import { assertDevelopment } from "./config.ts";
import { createCommand, readFlags } from "./flags.ts";
import { type Mocks, type MocksOptions, startMocks } from "./start-mocks.ts";

await createCommand()
  .action(async (raw: unknown, command: Command) => {
    const options = readFlags(raw, command);
    const starting = startAll(options);
    stopOnSignal(starting);
    const mocks = await starting.catch((error: unknown) => {
      process.stderr.write(`The emulators did not start. ${explainStart(error)}\n`);
      process.exit(1);
    });
    process.stdout.write(welcome(mocks));
  })
  .parseAsync();

async function startAll(options: MocksOptions): Promise<Mocks> {
  assertDevelopment();
  process.stdout.write("Starting …\n");
  return startMocks(options);
}

function explainStart(error: unknown): string {
  return error instanceof ConfigError ? error.message : explainFailure(error);
}

/** The first Ctrl-C stops cleanly, even in the middle of the start; the second at once. */
function stopOnSignal(starting: Promise<Mocks>): void {
  let stopping = false;
  const stop = async (): Promise<void> => {
    const mocks = await starting;
    await mocks.close();
    process.stdout.write("Stopped. Nothing was kept.\n");
    process.exit(0);
  };
  const onSignal = (): void => {
    if (stopping) process.exit(1);
    stopping = true;
    process.stdout.write("\nStopping …\n");
    void stop();
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
}

function welcome({ llamaparse, openai, supabase, variables }: Mocks): string {
  const settings = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
  return `
LlamaParse  ${llamaparse.url}  takes every key that begins with llx-
OpenAI      ${openai.baseUrl}  takes every key that begins with sk-
Supabase    ${supabase.url}  storage; takes the keys below

Set         ${settings.join("\n            ")}
Bills       curl ${llamaparse.url}/__emulator/stats
            curl ${openai.url}/__emulator/stats
Stop        Ctrl-C
`;
}
