import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { startTestServer, type TestServer } from "./test-server.ts";

declare module "vitest" {
  export interface ProvidedContext {
    testServer: TestServer;
  }
}

/** Starts what the tests run on, once per run, and says in one line which it is. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const directory = await mkdtemp(join(tmpdir(), "pipeline-test-"));
  const { server, stop } = await startTestServer(join(directory, "template.tar"));
  project.provide("testServer", server);
  process.stdout.write(`Tests run on ${server.described}.\n`);
  return async () => {
    await stop();
    await rm(directory, { recursive: true });
  };
}
