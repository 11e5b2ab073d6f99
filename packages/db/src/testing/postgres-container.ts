import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { PostgreSqlContainer } from "@testcontainers/postgresql";
import { getContainerRuntimeClient, Wait } from "testcontainers";
import { findFreePort } from "./find-free-port.ts";

const IMAGE = "pgvector/pgvector:pg17";

/**
 * Postgres in a container, to be started. By default the library has the engine ask it four times a second, for as long as
 * it runs, whether it is healthy; each time starts a process in the container, which took half a core here. The server's
 * log says once when it is ready: after the set-up, which ends a server of its own.
 */
export function postgresContainer(): PostgreSqlContainer {
  return new PostgreSqlContainer(IMAGE)
    .withHealthCheck({ test: ["CMD", "true"], interval: HOUR_MS })
    .withWaitStrategy(Wait.forAll([Wait.forLogMessage(/ready to accept connections/, 2), Wait.forListeningPorts()]));
}

const HOUR_MS = 3_600_000;

/** A busy engine has answered that it does not know the image, and knew it a moment later. */
const START_ATTEMPTS = 5;
const START_PAUSE_MS = 2_000;

/** Starts a container, in several attempts. Throws the last one's error. */
export async function startPatiently<T>(start: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await start();
    } catch (error) {
      if (attempt === START_ATTEMPTS) throw error;
      await delay(START_PAUSE_MS);
    }
  }
}

/** A server in a container, of whoever started it. */
export interface OwnServer {
  /** The same before and after a restart. */
  url: string;
  /** Ends the server, in order or as a crash would, and starts it again after `awayMs`; then it may still be recovering. */
  restart(how: "restart" | "crash", awayMs?: number): Promise<void>;
  /** What the command writes to its standard output in the container. */
  exec(command: string[]): Promise<string>;
  stop(): Promise<void>;
}

/** Starts Postgres with these settings (`name=value`). */
export async function startOwnServer(settings: readonly string[] = []): Promise<OwnServer> {
  const container = await startPatiently(async () =>
    postgresContainer()
      // The engine publishes the port on every interface, and may choose another one at each start.
      .withPassword(randomUUID())
      .withExposedPorts({ container: 5432, host: await findFreePort() })
      .withCommand(["postgres", ...["listen_addresses=*", ...settings].flatMap((setting) => ["-c", setting])])
      .start(),
  );
  const url = new URL(container.getConnectionUri());
  url.hostname = "127.0.0.1";
  const handle = (await getContainerRuntimeClient()).container.getById(container.getId());
  return {
    url: url.toString(),
    restart: async (how, awayMs = 0) => {
      await (how === "crash" ? handle.kill({ signal: "SIGKILL" }) : handle.stop({ t: 10 }));
      await delay(awayMs);
      await handle.start();
    },
    exec: async (command) => (await container.exec(command)).stdout,
    stop: async () => {
      await container.stop();
    },
  };
}
