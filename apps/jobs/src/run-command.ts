import { randomUUID } from "node:crypto";
import { openDatabase } from "@pipeline/composition";
import { checkSchemaVersion, createNotifier, type Database } from "@pipeline/db";
import { ConfigError, createLogger, formatFailure, toAppError, type Environment, type Logger } from "@pipeline/runtime";
import { loadJobsConfig } from "./config.ts";

/** What a command works with. */
export interface Desk {
  environment: Environment;
  database: Database;
  /** Kept with every event that the command writes. */
  correlation_id: string;
  /** There is work for the workers, once it is committed. */
  wake: () => void;
}

/** What a command found or did, for programs and for people. */
export interface Answer {
  json: unknown;
  text: string;
  /** Something is not as it should be: the command exits with 1. */
  hasFindings?: boolean;
}

/** Runs a command on the configured database and prints its answer. A failure is told with its code, and exits with 1. */
export async function runCommand(options: { json: boolean }, work: (desk: Desk) => Promise<Answer>): Promise<void> {
  try {
    const { json, text, hasFindings = false } = await onDatabase(work);
    process.stdout.write(options.json ? `${JSON.stringify(json, null, 2)}\n` : text);
    if (hasFindings) process.exitCode = 1;
  } catch (error) {
    const { code, message } = describeFailure(error);
    process.stderr.write(options.json ? formatFailure({ code, message }) : `${code}: ${message}\n`);
    process.exitCode = 1;
  }
}

async function onDatabase(work: (desk: Desk) => Promise<Answer>): Promise<Answer> {
  const environment = loadJobsConfig();
  // Standard output is the answer's alone.
  const log = createLogger({ level: environment.LOG_LEVEL, service: "jobs", stream: process.stderr });
  const database = await openDatabase(environment, "jobs", log);
  try {
    await checkSchemaVersion(database);
    return await withWakeUps({ environment, database, log }, work);
  } finally {
    await database.close();
  }
}

async function withWakeUps(
  { environment, database, log }: { environment: Environment; database: Database; log: Logger },
  work: (desk: Desk) => Promise<Answer>,
): Promise<Answer> {
  // What was changed stays changed: without the wake-up the workers find it when they next look.
  const notifier = createNotifier(database, { onError: (err) => log.warn({ err }, "workers not woken") });
  try {
    return await work({ environment, database, correlation_id: randomUUID(), wake: () => notifier.wake() });
  } catch (error) {
    if (toAppError(error).kind === "internal") log.error({ err: error }, "command failed");
    throw error;
  } finally {
    await notifier.close();
  }
}

function describeFailure(error: unknown): { code: string; message: string } {
  if (error instanceof ConfigError) return { code: "invalid_config", message: error.message };
  const { code, message } = toAppError(error);
  return { code, message };
}
