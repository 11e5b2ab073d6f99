import { type Database, type JobRow, keepAnswer, type Queryable } from "@pipeline/db";
import type { FastifyRequest } from "fastify";
import { z } from "zod";
import { jobBody, presentJob } from "../contract/job-body.ts";
import { jobUrl } from "../contract/urls.ts";
import { keyInUse } from "./idempotency.ts";

/**
 * Runs work that answers 202 with its job, in one transaction with that answer under the request's key, if it has one:
 * repeated after a crash the request gets the same job, not a second one that is paid for again. Throws
 * `idempotency_key_in_use`, with the work undone, where another request has taken the key over and answered.
 */
export function onceForKey(
  database: Database,
  { heldKey }: Pick<FastifyRequest, "heldKey">,
  work: (tx: Queryable) => Promise<JobRow>,
): Promise<JobRow> {
  return database.transaction(async (tx) => {
    const job = await work(tx);
    if (heldKey === null) return job;
    const body = z.encode(jobBody, presentJob(job));
    const isKept = await keepAnswer(tx, heldKey, { status_code: 202, location: jobUrl(job.job_id), body });
    if (!isKept) throw keyInUse();
    return job;
  });
}
