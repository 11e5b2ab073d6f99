import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MOCK_PORTS, startMocks } from "@pipeline/mocks";
import type { Environment } from "@pipeline/runtime";
import { loadLocalConfig, OWN_DATABASE } from "./config.ts";

/** A configuration whose outside services are emulators in this process. */
export interface OpenedMocks {
  environment: Environment;
  /** Name and address of each. */
  described: [string, string][];
  close(): Promise<void>;
}

/**
 * Emulators forget their files when they end, so the rows beside them are kept no longer: the database is the embedded one,
 * in a directory that goes with them. `firstPort` and the two behind it, or with 0 any free ones. Ends the process where
 * the configuration is broken or of staging or production; throws `port_in_use`.
 */
export async function openMocks(firstPort: number = MOCK_PORTS.llamaparse): Promise<OpenedMocks> {
  loadLocalConfig();
  const portOf = (name: keyof typeof MOCK_PORTS): number =>
    firstPort === 0 ? 0 : firstPort + MOCK_PORTS[name] - MOCK_PORTS.llamaparse;
  const mocks = await startMocks({
    llamaparse: { port: portOf("llamaparse") },
    openai: { port: portOf("openai") },
    supabase: { port: portOf("supabase") },
  });
  const directory = await mkdtemp(join(tmpdir(), "upload-pipeline-mocks-"));
  return {
    environment: loadLocalConfig({ ...OWN_DATABASE, ...mocks.variables, DATA_DIR: directory }),
    described: [
      ["LlamaParse", mocks.llamaparse.url],
      ["OpenAI", mocks.openai.baseUrl],
      ["Supabase", mocks.supabase.url],
    ],
    close: async () => {
      await mocks.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
