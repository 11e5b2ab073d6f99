import { checkSchemaVersion, type Database } from "@pipeline/db";
import { createProbe, toAppError } from "@pipeline/runtime";
import type { Watch } from "@pipeline/watch";
import { findUnready, type Vitals } from "../vitals.ts";

export interface WorkerReport {
  status: "healthy" | "degraded";
  environment: string;
  timestamp: string;
  build: string;
  /** The API's, if both work on the same rows in the same way; null before the database answered. */
  fingerprint: string | null;
  vitals: Vitals;
  /** Why this worker would not take up a job just now, or should not. */
  failing: { code: string; detail: string }[];
}

interface Reported {
  database: Database;
  watch: Watch;
  readVitals: () => Vitals;
  build: string;
  /** After this long the database counts as away; 2 s by default. */
  timeoutMs?: number;
}

/** Asks the database; never throws. */
export function createReport({
  database,
  watch,
  readVitals,
  build,
  timeoutMs = 2_000,
}: Reported): () => Promise<WorkerReport> {
  const askSchema = createProbe(() => checkSchemaVersion(database), { timeoutMs, keepMs: 1_000 });
  return async () => {
    const vitals = readVitals();
    const differences = watch.view()?.differences ?? [];
    const failing = [
      ...findUnready(vitals),
      ...(await failureOf(askSchema)),
      ...differences.map(({ detail }) => ({ code: "services_differ", detail })),
    ];
    return {
      status: failing.length === 0 ? "healthy" : "degraded",
      environment: watch.agreement.environment,
      timestamp: new Date().toISOString(),
      build,
      fingerprint: watch.view()?.fingerprint ?? null,
      vitals,
      failing,
    };
  };
}

async function failureOf(ask: () => Promise<unknown>): Promise<{ code: string; detail: string }[]> {
  try {
    await ask();
    return [];
  } catch (error) {
    const { code, message } = toAppError(error);
    return [{ code, detail: message }];
  }
}
