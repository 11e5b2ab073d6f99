import { setTimeout as delay } from "node:timers/promises";
import type { Database } from "@pipeline/db";
import { isRetryable, toAppError } from "@pipeline/runtime";
import type { SampleDocument } from "./documents.ts";
import type { Fleet } from "./fleet.ts";
import { findHolder, type HeldJob, listJobs } from "./observe.ts";
import type { Takeovers } from "./takeovers.ts";

/** A document whose parsing kills the worker, every time: this harness sees to it. */
export function poisonDocument(): SampleDocument {
  const paragraph = "This document ends whoever reads it. ".repeat(60);
  const bytes = Buffer.from(Array.from({ length: 120 }, (_, index) => `## ${index}\n\n${paragraph}`).join("\n\n"));
  return { filename: "poison.md", mime: "text/markdown", bytes };
}

/** Far below the time that starting a parser takes. */
const LOOK_EVERY_MS = 25;
const PARSING = "parsing";

/** Kills each worker that parses the job, until the job is dead-lettered or `signal` aborts. Answers how many. */
export async function killItsWorkers(
  jobId: string,
  parts: { database: Database; fleet: Fleet; takeovers: Takeovers; dbTime: () => Date; signal: AbortSignal },
): Promise<number> {
  let killed = 0;
  while (!parts.signal.aborted) {
    const { holder, isOver } = await look(parts.database, jobId);
    if (isOver) break;
    const worker = holder?.status === PARSING ? parts.fleet.find(holder.pid) : undefined;
    if (worker === undefined || worker.ending !== undefined) {
      await delay(LOOK_EVERY_MS);
      continue;
    }
    const { pid, spawnedAt } = worker;
    parts.takeovers.watch({ kind: "poison", pid, spawnedAt, lostAt: parts.dbTime() });
    await parts.fleet.kill(worker);
    killed += 1;
  }
  return killed;
}

/** While the database is away nothing is known. */
async function look(database: Database, jobId: string): Promise<{ holder?: HeldJob | undefined; isOver: boolean }> {
  try {
    const holder = await findHolder(database, jobId);
    if (holder !== undefined) return { holder, isOver: false };
    const [job] = await listJobs(database, [jobId]);
    return { isOver: job?.state === "deadletter" || job?.state === "done" };
  } catch (error) {
    if (!isRetryable(toAppError(error))) throw error;
    return { isOver: false };
  }
}
