import { PostgreSqlContainer } from "@testcontainers/postgresql";
import { Wait } from "testcontainers";

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
