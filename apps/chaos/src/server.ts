import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";
import { type Database, migrate, openPostgres } from "@pipeline/db";
import { postgresContainer } from "@pipeline/db/postgres-container";
import { getContainerRuntimeClient } from "testcontainers";
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
  // A fixed port: the engine may choose another one at each start.
  const started = await postgresContainer()
    .withExposedPorts({ container: 5432, host: await freePort() })
    // The engine publishes the port on every interface.
    .withPassword(randomUUID())
    .start();
  const url = new URL(started.getConnectionUri());
  url.hostname = "127.0.0.1";
  const client = await getContainerRuntimeClient();
  const container = client.container.getById(started.getId());
  const database = open(url.toString());
  await patiently(() => migrate(database));
  return {
    database,
    url: url.toString(),
    described: "Postgres in a container of its own",
    restart: async (how) => {
      if (how === "restart") await container.restart({ t: 10 });
      else {
        await container.kill({ signal: "SIGKILL" });
        await container.start();
      }
      await patiently(() => database.run("select 1"));
    },
    stop: async () => {
      await database.close();
      await started.stop();
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

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("The server has no port.");
  return address.port;
}
