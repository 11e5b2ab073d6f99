import { randomUUID } from "node:crypto";
import { AppError } from "@pipeline/runtime";
import { cancelJob } from "../cancel.ts";
import { advanceJobs, failJob, releaseJob } from "../checkpoints.ts";
import type { Database } from "../database.ts";
import { replaceChunks, replacePages } from "../generations.ts";
import { stageFrom, type Status } from "../pipeline.ts";
import { rescueJobs } from "../queue.ts";
import { retryJob } from "../redrive.ts";
import { reprocessDocument } from "../reprocess.ts";
import { deleteFinished } from "../retention.ts";
import type { Claim, JobRow } from "../rows.ts";
import { endSession } from "../sessions.ts";
import {
  chunksOf,
  claimOne,
  createCompleteDocument,
  createQueuedJob,
  createSession,
  createUpload,
  queueInBulk,
  uploadPromise,
  vectorOf,
} from "../testing/index.ts";
import { registerUpload, renewUpload } from "../uploads.ts";

/** Ids of what the healthy database holds. */
export interface HealthyDatabase {
  /** Alive for an hour; holds the working job. */
  session_id: string;
  complete: { document_id: string; job_id: string; chunk_ids: string[] };
  waiting: JobIds;
  /** Of the same user as `waiting`. */
  queued: JobIds;
  /** Has its pages and its chunks. */
  working: JobIds;
  retryable: JobIds;
  deadletter: JobIds;
  /** The first job of it failed, the second is queued. */
  again: JobIds & { first_job_id: string };
}

interface JobIds {
  document_id: string;
  job_id: string;
  user_id: string;
}

/** Jobs in every state with every kind of event, made as the services make them. */
export async function fillHealthily(database: Database): Promise<HealthyDatabase> {
  const session_id = await createSession(database, 3_600_000);
  await database.run("update upload_pipeline.worker_sessions set started_at = now() - interval '1 hour'");
  await outliveRetention(database);
  // Those that are claimed come before those that stay in line.
  const working = await claimNew(database, session_id);
  await advanceTo(database, working, "chunks_stored");
  const retryable = await claimNew(database, session_id);
  await failJob(database, retryable, { stage: "verify", error: BUSY, maxRetries: 3, delayMs: 300_000 });
  const deadletter = await claimNew(database, session_id);
  await advanceTo(database, deadletter, "parsed");
  await failJob(database, deadletter, { stage: "validate", error: BROKEN, maxRetries: 3, delayMs: 0 });
  const again = await uploadAgain(database, session_id);
  await endInOtherWays(database, session_id);
  const complete = await createCompleteDocument(database, { passages: PASSAGES });
  const { document_id } = await createCompleteDocument(database, { passages: PASSAGES });
  await reprocess(database, document_id);
  await queueInBulk(database, { user_id: randomUUID(), count: 1 });
  const { job: queued } = await createQueuedJob(database);
  const { job: waiting } = await createUpload(database, { user_id: queued.user_id });
  const renewal = {
    uploadSeconds: 60,
    correlation_id: "test",
    promise: { filename: "letter.txt", mime: "text/plain", bytes_len: 12, metadata: {} },
  };
  await database.transaction((tx) => renewUpload(tx, waiting, renewal));
  return { session_id, complete, waiting, queued, working, retryable, deadletter, again };
}

const PASSAGES = [1, 2, 3].map((number) => ({ text: `Passage ${number}.`, vector: vectorOf(number) }));
const BUSY = new AppError({ kind: "transient", code: "busy", message: "Busy." });
const BROKEN = new AppError({ kind: "permanent", code: "broken_file", message: "Broken." });

async function claimNew(database: Database, sessionId: string): Promise<Claim> {
  await createQueuedJob(database);
  return claimOne(database, sessionId);
}

/** Stores the stages' pages and chunks on the way. */
async function advanceTo(database: Database, claim: Claim, status: Status): Promise<void> {
  const chunks = chunksOf(claim, ["One passage.", "Another."]);
  await database.transaction(async (tx) => {
    await replacePages(tx, claim, { title: null, pages: [{ page_number: 1, text: "One passage. Another." }] });
    if (status === "chunks_stored") {
      await replaceChunks(tx, claim, { chunker: { name: "test", version: "1" }, chunks });
    }
    for (let from = claim.status; from !== status;) {
      const stage = stageFrom(from);
      if (!stage) throw new Error(`${status} does not come after ${claim.status}.`);
      await advanceJobs(tx, [{ ...claim, from: stage.from, to: stage.to, progress: {}, detail: {} }]);
      from = stage.to;
    }
  });
}

/** A file that failed and was uploaded anew: two jobs of one document. */
async function uploadAgain(database: Database, sessionId: string): Promise<HealthyDatabase["again"]> {
  const promise = uploadPromise();
  await createQueuedJob(database, promise);
  const claim = await claimOne(database, sessionId);
  await failJob(database, claim, { stage: "verify", error: BROKEN, maxRetries: 3, delayMs: 0 });
  const second = { ...promise, job_id: randomUUID() };
  const { job } = await database.transaction((tx) => registerUpload(tx, second));
  return { document_id: job.document_id, user_id: job.user_id, job_id: job.job_id, first_job_id: claim.job_id };
}

/** A cancelled job, a redriven one, one that was released and one that was rescued. */
async function endInOtherWays(database: Database, sessionId: string): Promise<void> {
  const request = { correlation_id: "test" };
  await cancelJob(database, { ...request, job_id: (await claimNew(database, sessionId)).job_id });
  const redriven = await claimNew(database, sessionId);
  await failJob(database, redriven, { stage: "verify", error: BUSY, maxRetries: 0, delayMs: 0 });
  await database.transaction((tx) => retryJob(tx, { ...request, job_id: redriven.job_id }));
  await releaseJob(database, await claimOne(database, sessionId));
  const mortal = await createSession(database);
  await claimOne(database, mortal);
  await endSession(database, mortal);
  await rescueJobs(database, { maxCrashes: 3 });
}

/** Finished long ago: its superseded job has left, and of the newest job's events all but the last. */
async function outliveRetention(database: Database): Promise<void> {
  const { document_id } = await createCompleteDocument(database, { passages: PASSAGES });
  const { job_id } = await reprocess(database, document_id);
  await database.transaction((tx) => cancelJob(tx, { job_id, correlation_id: "test" }));
  await deleteFinished(database, { olderThanDays: 0, limit: 100, after: undefined });
}

function reprocess(database: Database, documentId: string): Promise<JobRow> {
  const request = { document_id: documentId, from: "embed" as const, correlation_id: "test" };
  return database.transaction((tx) => reprocessDocument(tx, request));
}
