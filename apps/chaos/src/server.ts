import { randomUUID } from "node:crypto";
import { type Database, migrate, openPostgres } from "@pipeline/db";
import { startOwnServer } from "@pipeline/db/postgres-container";
import { patiently } from "./patience.ts";

/** Where the run happens: a migrated database of its own. */
export interface Server {
  database: Database;
  /** The database's URL, for the workers. */
  url: string;
  described: string;
  /** Restarts the server and waits for it; undefined where it is not this run's own. */
  restart: ((how: "restart" | "crash") => Promise<void>) | undefined;
  /** Removes the database, or the whole container. */
  stop: () => Promise<void>;
}

/** A database on the given server, or a container of this run's own. */
export async function openServer(url: string | undefined): Promise<Server> {
  return url === undefined ? openContainer() : openOn(url);
}

async function openContainer(): Promise<Server> {
  const own = await startOwnServer();
  const database = open(own.url);
  await patiently(() => migrate(database));
  return {
    database,
    url: own.url,
    described: "Postgres in a container of its own",
    restart: async (how) => {
      await own.restart(how);
      await patiently(() => database.run("select 1"));
    },
    stop: async () => {
      await database.close();
      await own.stop();
    },
  };
}

async function openOn(serverUrl: string): Promise<Server> {
  const name = `pipeline_chaos_${randomUUID().replaceAll("-", "")}`;
  const server = open(serverUrl);
  await server.run(`create database ${name}`);
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  const database = open(url.toString());
  await migrate(database);
  return {
    database,
    url: url.toString(),
    described: "Postgres of the caller",
    restart: undefined,
    stop: async () => {
      await database.close();
      await server.run(`drop database ${name} with (force)`);
      await server.close();
    },
  };
}

function open(url: string): Database {
  return openPostgres({
    url,
    schemaName: "upload_pipeline",
    applicationName: "upload-pipeline chaos",
    poolSize: 6,
    onIdleError: () => undefined,
  });
}
