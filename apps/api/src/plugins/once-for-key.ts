import { type Database, jobRow, keepAnswer } from "@pipeline/db";
import type { FastifyRequest } from "fastify";
import { z } from "zod";
import { jobBody, presentJob } from "../contract/job-body.ts";
import { jobUrl } from "../contract/urls.ts";
import { keyInUse } from "./idempotency.ts";

/**
 * The database for work that is answered 202 with its job: a transaction that comes to a job keeps that answer under the
 * request's key, if it has one. Repeated after a crash the request gets the same job, not a second one that is paid for
 * again. Where another request has taken the key over and answered, the work is undone: `idempotency_key_in_use`.
 */
export function onceForKey(database: Database, { heldKey }: Pick<FastifyRequest, "heldKey">): Database {
  if (heldKey === null) return database;
  return {
    ...database,
    transaction: (work) =>
      database.transaction(async (tx) => {
        const result = await work(tx);
        const { data: job } = jobRow.safeParse(result);
        if (job === undefined) return result;
        const body = z.encode(jobBody, presentJob(job));
        const isKept = await keepAnswer(tx, heldKey, { status_code: 202, location: jobUrl(job.job_id), body });
        if (!isKept) throw keyInUse();
        return result;
      }),
  };
}
