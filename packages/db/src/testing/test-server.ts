import { randomUUID } from "node:crypto";
import { writeFile } from "node:fs/promises";
import type { StartedPostgreSqlContainer } from "@testcontainers/postgresql";
import { getContainerRuntimeClient } from "testcontainers";
import { Client } from "pg";
import { openEmbedded } from "../embedded.ts";
import { openPostgres } from "../database.ts";
import { migrate } from "../migrate.ts";
import { isPostgresRequired, testDatabaseUrl } from "./config.ts";
import { postgresContainer, startPatiently } from "./postgres-container.ts";

/** Where tests run, and the migrated database that each test file starts from. */
export type TestServer =
  | { kind: "postgres"; url: string; template: string; described: string }
  | { kind: "embedded"; templateFile: string; described: string };

export interface StartedServer {
  server: TestServer;
  stop: () => Promise<void>;
}

/** TEST_DATABASE_URL, else a container if a Docker engine answers, else the embedded database. */
export async function startTestServer(templateFile: string): Promise<StartedServer> {
  const url = testDatabaseUrl();
  if (url === "embedded") return prepareEmbedded(templateFile, "TEST_DATABASE_URL");
  if (url) return prepareTemplate(url, "TEST_DATABASE_URL", async () => undefined);
  if (!(await dockerAnswers())) return prepareEmbedded(templateFile, "no TEST_DATABASE_URL, no Docker engine");
  const container = await startContainer();
  if (!container) return prepareEmbedded(templateFile, `Docker could not start its container`);
  const stop = async (): Promise<void> => {
    await container.stop();
  };
  return prepareTemplate(container.getConnectionUri(), "container", stop);
}

/** Undefined where the engine answers but cannot get or run the image: offline, or without rights. */
async function startContainer(): Promise<StartedPostgreSqlContainer | undefined> {
  try {
    return await (isPostgresRequired() ? startPatiently(startOne) : startOne());
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    return undefined;
  }
}

function startOne(): Promise<StartedPostgreSqlContainer> {
  return postgresContainer().start();
}

async function dockerAnswers(): Promise<boolean> {
  try {
    await getContainerRuntimeClient();
    return true;
  } catch {
    return false;
  }
}

async function prepareTemplate(url: string, source: string, stop: () => Promise<void>): Promise<StartedServer> {
  const template = `pipeline_template_${randomUUID().replaceAll("-", "")}`;
  await onServer(url, async (client) => client.query(`create database ${template}`));
  const database = openPostgres({
    url: withDatabase(url, template),
    schemaName: "upload_pipeline",
    applicationName: "test template",
    poolSize: 1,
    onIdleError: () => undefined,
  });
  await migrate(database);
  const [version] = await onServer(url, async (client) => (await client.query("show server_version")).rows);
  await database.close();
  return {
    server: {
      kind: "postgres",
      url,
      template,
      described: `Postgres ${Object.values(version ?? {}).join("")} (${source})`,
    },
    stop: async () => {
      await onServer(url, async (client) => client.query(`drop database if exists ${template} with (force)`));
      await stop();
    },
  };
}

async function prepareEmbedded(templateFile: string, reason: string): Promise<StartedServer> {
  if (isPostgresRequired()) throw new Error(`TEST_REQUIRE_POSTGRES is set, but: ${reason}.`);
  const database = await openEmbedded({ schemaName: "upload_pipeline" });
  await migrate(database);
  const dump = await database.dump();
  await writeFile(templateFile, Buffer.from(await dump.arrayBuffer()));
  await database.close();
  return {
    server: { kind: "embedded", templateFile, described: `PGlite (${reason})` },
    stop: async () => undefined,
  };
}

export function withDatabase(url: string, name: string): string {
  const changed = new URL(url);
  changed.pathname = `/${name}`;
  return changed.toString();
}

export async function onServer<T>(url: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
