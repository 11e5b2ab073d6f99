import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { findFreePort, openTestDatabase, type TestDatabase } from "@pipeline/db/testing";
import { z } from "zod";
import { type Client, createClient } from "./client.ts";
import { type Command, killStarted, startCommand } from "./spawn.fixture.ts";

/** API, workers and the emulators of all outside services, each in a process of its own, on a real server. */
export interface Services {
  test: TestDatabase;
  client: Client;
  token: string;
  /** What the processes were configured with. */
  variables: Record<string, string>;
  api: Command;
  workers: Command[];
  /** Uploads a document as often as it takes, as a client does whose connection may break anywhere. */
  upload(name: string, text: string): Promise<{ job_id: string; document_id: string }>;
  llamaparse(): Promise<LlamaParseBill>;
  openai(): Promise<OpenAiBill>;
  close(): Promise<void>;
}

const llamaparseBill = z.object({
  faults: z.record(z.string(), z.number()),
  paid_again_count: z.number(),
  billed_credits: z.number(),
  files: z.array(z.object({ sha256: z.string(), job_count: z.number(), billed_count: z.number() })),
});
export type LlamaParseBill = z.infer<typeof llamaparseBill>;

const openaiBill = z.object({
  faults: z.record(z.string(), z.number()),
  paid_again_count: z.number(),
  billed_tokens: z.number(),
  inputs: z.array(z.object({ sha256: z.string(), tokens: z.number(), paid_count: z.number(), lost_count: z.number() })),
});
export type OpenAiBill = z.infer<typeof openaiBill>;

const MOST_TRIES = 30;

/** `mockFlags` are those of `pnpm mocks`, faults among them. */
export async function startServices(mockFlags: string[] = [], workerCount = 2): Promise<Services> {
  const directory = await mkdtemp(join(tmpdir(), "services-test-"));
  const test = await openTestDatabase();
  const anyPorts = ["llamaparse", "openai", "supabase"].flatMap((name) => [`--${name}-port`, "0"]);
  const mocks = startCommand("apps/mocks/src/main.ts", { args: [...anyPorts, ...mockFlags] });
  await mocks.printed(/(Ctrl-C)/);
  const variables = {
    ...readVariables(mocks.output()),
    DATABASE_URL: test.url ?? "",
    DATA_DIR: join(directory, "data"),
    SERVICE_PORT: String(await findFreePort()),
    LOG_LEVEL: "trace",
    WORKER_RETRY_BASE_DELAY: "0.2",
    WORKER_CONCURRENCY: "8",
  };
  const started = Array.from({ length: workerCount }, () =>
    startCommand("apps/worker/src/main.ts", { env: variables }),
  );
  const api = startCommand("apps/api/src/main.ts", { env: variables });
  await Promise.all([api.printed(/(listening)/), ...started.map((worker) => worker.printed(/(worker started)/))]);
  const token = await startCommand("apps/api/src/token.ts", { env: variables }).printed(/^(eyJ\S+)$/m);
  const client = createClient({ url: `http://127.0.0.1:${variables.SERVICE_PORT}`, token });
  return {
    test,
    client,
    token,
    variables,
    api,
    workers: started,
    upload: async (name, text) => {
      const path = join(directory, name);
      await writeFile(path, text);
      return uploadPersistently(client, path);
    },
    llamaparse: async () => llamaparseBill.parse(await statsOf(variables.LLAMAPARSE_BASE_URL)),
    openai: async () => openaiBill.parse(await statsOf(new URL(variables.OPENAI_BASE_URL).origin)),
    close: async () => {
      killStarted();
      await test.close();
      await rm(directory, { recursive: true });
    },
  };
}

async function statsOf(base: string): Promise<unknown> {
  return (await fetch(`${base}/__emulator/stats`)).json();
}

async function uploadPersistently(client: Client, path: string) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await client.upload(path);
    } catch (error) {
      if (tries === MOST_TRIES) throw error;
      await delay(50);
    }
  }
}

const printedVariables = z.looseObject({
  LLAMAPARSE_BASE_URL: z.string(),
  LLAMAPARSE_API_KEY: z.string(),
  OPENAI_BASE_URL: z.string(),
  OPENAI_API_KEY: z.string(),
  SUPABASE_URL: z.string(),
  SUPABASE_JWT_SECRET: z.string(),
  SUPABASE_SERVICE_ROLE_KEY: z.string(),
  SUPABASE_ANON_KEY: z.string(),
});

function readVariables(output: string) {
  const pairs = [...output.matchAll(/\b([A-Z_]+)=(\S+)/gu)].map(([, name = "", value = ""]) => [name, value]);
  return printedVariables.parse(Object.fromEntries(pairs));
}
