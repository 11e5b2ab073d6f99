import { ConfigError, explainFailure } from "@pipeline/runtime";
import type { Command } from "commander";
import { assertDevelopment } from "./config.ts";
import { createCommand, type MocksOptions, readFlags } from "./flags.ts";
import { startLlamaParse } from "./llamaparse/start-llamaparse.ts";
import { startOpenAi } from "./openai/start-openai.ts";
import { startSupabase } from "./supabase/start-supabase.ts";

/** Not the one of Supabase's own templates, which the services refuse; it protects nothing either. */
const JWT_SECRET = "signs-tokens-of-the-emulated-project-alone";

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

interface Mocks {
  llamaparseUrl: string;
  openaiUrl: string;
  openaiBaseUrl: string;
  supabase: { url: string; serviceRoleKey: string; anonKey: string; jwtSecret: string };
  close(): Promise<void>;
}

/** All or none. */
async function startAll(options: MocksOptions): Promise<Mocks> {
  assertDevelopment();
  process.stdout.write("Starting …\n");
  const started: { close(): Promise<void> }[] = [];
  const keep = <Emulator extends { close(): Promise<void> }>(emulator: Emulator): Emulator => {
    started.push(emulator);
    return emulator;
  };
  const close = async (): Promise<void> => {
    await Promise.all(started.map((emulator) => emulator.close()));
  };
  try {
    const llamaparse = keep(await startLlamaParse(options.llamaparse));
    const openai = keep(await startOpenAi(options.openai));
    const supabase = keep(await startSupabase({ ...options.supabase, jwtSecret: JWT_SECRET }));
    return { llamaparseUrl: llamaparse.url, openaiUrl: openai.url, openaiBaseUrl: openai.baseUrl, supabase, close };
  } catch (error) {
    await close();
    throw error;
  }
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

function welcome({ llamaparseUrl, openaiUrl, openaiBaseUrl, supabase }: Mocks): string {
  return `
LlamaParse  ${llamaparseUrl}  takes every key that begins with llx-
OpenAI      ${openaiBaseUrl}  takes every key that begins with sk-
Supabase    ${supabase.url}  storage; takes the keys below

Set         LLAMAPARSE_BASE_URL=${llamaparseUrl} LLAMAPARSE_API_KEY=llx-local
            OPENAI_BASE_URL=${openaiBaseUrl} OPENAI_API_KEY=sk-local
            SUPABASE_URL=${supabase.url} SUPABASE_JWT_SECRET=${supabase.jwtSecret}
            SUPABASE_SERVICE_ROLE_KEY=${supabase.serviceRoleKey}
            SUPABASE_ANON_KEY=${supabase.anonKey}
Bills       curl ${llamaparseUrl}/__emulator/stats
            curl ${openaiUrl}/__emulator/stats
Stop        Ctrl-C
`;
}
