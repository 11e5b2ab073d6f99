import { setTimeout as delay } from "node:timers/promises";
import { checkSchemaVersion, type Database, isAccessRefused } from "@pipeline/db";
import { isRetryable, toAppError, type Logger } from "@pipeline/runtime";

const RETRY_MS = 1_000;

/**
 * The schema's version, once the database answers: that it is away at the start is no fault of the configuration, so it is
 * waited for, with a line in the log each time. What waiting does not mend is thrown: another schema version, a refused
 * login, a missing database. `onAway` is told once, when the first try failed.
 */
export async function awaitSchema(
  database: Database,
  options: { log: Logger; signal?: AbortSignal; onAway?: () => void },
): Promise<number> {
  const { log, signal, onAway } = options;
  for (let tries = 1; ; tries += 1) {
    try {
      return await checkSchemaVersion(database);
    } catch (error) {
      const fault = toAppError(error);
      if (!isRetryable(fault) || isAccessRefused(fault)) throw fault;
      log.warn({ err: fault, tries }, "database away at the start, trying again");
      if (tries === 1) onAway?.();
    }
    await delay(RETRY_MS, undefined, signal === undefined ? {} : { signal });
  }
}
