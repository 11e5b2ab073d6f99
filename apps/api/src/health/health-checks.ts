import { checkSchemaVersion, getWorkerHealth, type Database } from "@pipeline/db";
import { toAppError } from "@pipeline/runtime";
import type { ObjectStore } from "@pipeline/storage";
import { createProbe } from "./create-probe.ts";

export const HEALTH_PARTS = ["database", "schema", "storage", "workers"] as const;

/** A part that does not work, and the code of why. */
export interface FailingPart {
  part: (typeof HEALTH_PARTS)[number];
  code: string;
}

export interface HealthReport {
  /** Empty when everything but the process itself, which has answered, works. */
  failing: FailingPart[];
  /** Undefined where it could not be found out. */
  schemaVersion: number | undefined;
  workers: Awaited<ReturnType<typeof getWorkerHealth>> | undefined;
}

/** The storage probe writes, reads and deletes an object. */
const STORAGE_KEEP_MS = 5_000;

/** Asks every part at once; never throws. */
export function createHealthChecks(
  system: { database: Database; storage: ObjectStore },
  timeoutMs: number,
): () => Promise<HealthReport> {
  const { database, storage } = system;
  const fresh = { timeoutMs, keepMs: 0 };
  const askSchema = createProbe(() => checkSchemaVersion(database), fresh);
  const askWorkers = createProbe(() => getWorkerHealth(database), fresh);
  const askStorage = createProbe(() => storage.check(), { timeoutMs, keepMs: STORAGE_KEEP_MS });
  return async () => {
    const [schema, workers, stored] = await Promise.all([
      outcomeOf(askSchema()),
      outcomeOf(askWorkers()),
      outcomeOf(askStorage()),
    ]);
    return {
      failing: [...schemaFault(schema), ...storageFault(stored), ...workerFault(workers)],
      schemaVersion: schema.value,
      workers: workers.value,
    };
  };
}

interface Outcome<T> {
  value?: T;
  code?: string;
}

async function outcomeOf<T>(work: Promise<T>): Promise<Outcome<T>> {
  try {
    return { value: await work };
  } catch (error) {
    return { code: toAppError(error).code };
  }
}

/** A database that answers with the wrong version does answer. */
function schemaFault({ code }: Outcome<unknown>): FailingPart[] {
  if (code === undefined) return [];
  return [{ part: code.startsWith("schema_") ? "schema" : "database", code }];
}

function storageFault({ code }: Outcome<unknown>): FailingPart[] {
  return code === undefined ? [] : [{ part: "storage", code }];
}

function workerFault({ value, code }: Outcome<{ live_count: number }>): FailingPart[] {
  if (code !== undefined) return [{ part: "workers", code }];
  return value && value.live_count > 0 ? [] : [{ part: "workers", code: "no_live_worker" }];
}
