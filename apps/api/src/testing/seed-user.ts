import { randomUUID } from "node:crypto";
import { cancelJob, type Database } from "@pipeline/db";
import { createQueuedJob, createUpload } from "@pipeline/db/testing";
import { z } from "zod";
import { claimJob, completeDocument, deadLetter } from "./documents.ts";

/** A user with a document in each state that a client can meet. */
export interface SeededUser {
  user_id: string;
  document_ids: string[];
  /** Those of them that search can find. */
  complete_ids: string[];
  job_ids: string[];
  /** Those that ended without success, and can be retried. */
  failed_job_ids: string[];
  /** Those that have not ended, and can be cancelled. */
  open_job_ids: string[];
  chunk_ids: string[];
  sha256s: string[];
}

export const SEEDED_TEXT = "The deductible for out-patient care is 250 a year.";

export async function seedUser(database: Database): Promise<SeededUser> {
  const user_id = randomUUID();
  // What waits in the queue is claimed along with what is worked on, so it comes last.
  const complete = [
    await completeDocument(database, { user_id, metadata: { plan: "gold" }, passages: [{ text: SEEDED_TEXT }] }),
    await completeDocument(database, { user_id, passages: [{ text: "Glasses are covered every two years." }] }),
  ];
  const dead = await createUpload(database, { user_id });
  await deadLetter(database, dead.job);
  const cancelled = await createQueuedJob(database, { user_id });
  const { job_id, correlation_id } = cancelled.job;
  await cancelJob(database, { user_id, job_id, correlation_id });
  const working = await createQueuedJob(database, { user_id });
  await claimJob(database, working.job.job_id);
  const queued = await createQueuedJob(database, { user_id });
  const waiting = await createUpload(database, { user_id });
  const failed = [dead.job, cancelled.job];
  const open = [working.job, queued.job, waiting.job];
  const jobs = [...complete, ...failed, ...open];
  return {
    user_id,
    document_ids: jobs.map((job) => job.document_id),
    complete_ids: complete.map((each) => each.document_id),
    job_ids: jobs.map((job) => job.job_id),
    failed_job_ids: failed.map((job) => job.job_id),
    open_job_ids: open.map((job) => job.job_id),
    chunk_ids: await listColumn(database, { user_id, column: "chunk_id", table: "document_chunks" }),
    sha256s: await listColumn(database, { user_id, column: "file_sha256", table: "documents" }),
  };
}

async function listColumn(
  database: Database,
  { user_id, column, table }: { user_id: string; column: string; table: string },
): Promise<string[]> {
  const rows = await database.many(
    z.object({ value: z.string() }),
    `select ${column}::text as value from ${database.schema}.${table} where user_id = $1`,
    [user_id],
  );
  return rows.map(({ value }) => value);
}
