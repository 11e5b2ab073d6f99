import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { inject } from "vitest";
import { openPostgres, type Database } from "../database.ts";
import { openEmbedded } from "../embedded.ts";
import { onServer, withDatabase, type TestServer } from "./test-server.ts";

export interface TestDatabase {
  database: Database;
  /** For other processes; undefined on the embedded database, which has none. */
  url: string | undefined;
  /** Another pool on the same database, as another process would have; not on the embedded database. */
  openAnother: () => Database;
  /** As that service opens it, with no more than its role's privileges; on the embedded database it is the owner's. */
  openAs: (service: "api" | "worker") => Database;
  close: () => Promise<void>;
}

/** True where tests may use several connections; those that need them skip on the embedded database and say so. */
export function hasParallelConnections(): boolean {
  return inject("testServer").kind === "postgres";
}

/**
 * A fresh, migrated database of the caller's own. With another schema name it is opened on that schema, which is not
 * there yet; the migrated one stays beside it.
 */
export async function openTestDatabase(schemaName = MIGRATED_SCHEMA): Promise<TestDatabase> {
  const server = inject("testServer");
  return server.kind === "postgres" ? openOnServer(server, schemaName) : openInProcess(server, schemaName);
}

const MIGRATED_SCHEMA = "upload_pipeline";

async function openOnServer(
  server: Extract<TestServer, { kind: "postgres" }>,
  schemaName: string,
): Promise<TestDatabase> {
  const name = `pipeline_test_${randomUUID().replaceAll("-", "")}`;
  await onServer(server.url, (client) => client.query(`create database ${name} template ${server.template}`));
  const url = withDatabase(server.url, name);
  const opened: Database[] = [];
  const connect = (role?: string): Database => {
    const database = openPostgres({
      url: role === undefined ? url : `${url}?options=${encodeURIComponent(`-c role=${role}`)}`,
      schemaName,
      applicationName: "test",
      poolSize: 4,
      onIdleError: () => undefined,
    });
    opened.push(database);
    return database;
  };
  return {
    database: connect(),
    url,
    openAnother: () => connect(),
    openAs: (service) => connect(`${schemaName}_${service}`),
    close: async () => {
      await Promise.all(opened.map((database) => database.close()));
      await onServer(server.url, (client) => client.query(`drop database ${name} with (force)`));
    },
  };
}

async function openInProcess(
  server: Extract<TestServer, { kind: "embedded" }>,
  schemaName: string,
): Promise<TestDatabase> {
  const template = new Blob([await readFile(server.templateFile)]);
  const database = await openEmbedded({ schemaName, template });
  return {
    database,
    url: undefined,
    openAnother: () => {
      throw new Error("The embedded database has one connection.");
    },
    openAs: () => database,
    close: () => database.close(),
  };
}
