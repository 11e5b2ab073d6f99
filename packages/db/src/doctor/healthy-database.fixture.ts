import { randomUUID } from "node:crypto";
import { AppError } from "@pipeline/runtime";
import { advanceJobs, failJob, releaseJob } from "../checkpoints.ts";
import type { Database } from "../database.ts";
import { replaceChunks, replacePages } from "../generations.ts";
import { stageFrom, type Status } from "../pipeline.ts";
import { rescueJobs } from "../queue.ts";
import type { Claim } from "../rows.ts";
import { endSession } from "../sessions.ts";
import {
  chunksOf,
  claimOne,
  createCompleteDocument,
  createQueuedJob,
  createSession,
  createUpload,
  vectorOf,
} from "../testing/index.ts";
import { registerUpload, renewUpload } from "../uploads.ts";
import { uploadPromise } from "../testing/factories.ts";

/** Ids of what the healthy database holds. */
export interface HealthyDatabase {
  /** Alive for an hour; holds the working job. */
  session_id: string;
  complete: { document_id: string; job_id: string; chunk_ids: string[] };
  /** Complete, and a second job builds its second generation. */
  redone: { document_id: string; job_id: string };
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
  const passages = [1, 2, 3].map((number) => ({ text: `Passage ${number}.`, vector: vectorOf(number) }));
  const complete = await createCompleteDocument(database, { passages });
  const redone = await createCompleteDocument(database, { passages });
  const byHand = "insert into upload_pipeline.upload_jobs (document_id) values ($1)";
  await database.run(byHand, [redone.document_id]);
  await forgetHistory(database, (await createCompleteDocument(database, { passages })).job_id);
  const { job: queued } = await createQueuedJob(database);
  const { job: waiting } = await createUpload(database, { user_id: queued.user_id });
  const renewal = {
    filename: "letter.txt",
    mime: "text/plain",
    bytes_len: 12,
    uploadSeconds: 60,
    correlation_id: "test",
  };
  await database.transaction((tx) => renewUpload(tx, waiting, renewal));
  return { session_id, complete, redone, waiting, queued, working, retryable, deadletter, again };
}

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
  const cancelled = await claimNew(database, sessionId);
  await cancelByHand(database, cancelled.job_id);
  const redriven = await claimNew(database, sessionId);
  await failJob(database, redriven, { stage: "verify", error: BROKEN, maxRetries: 3, delayMs: 0 });
  await redriveByHand(database, redriven.job_id);
  await releaseJob(database, await claimOne(database, sessionId));
  const mortal = await createSession(database);
  await claimOne(database, mortal);
  await endSession(database, mortal);
  await rescueJobs(database, { maxCrashes: 3 });
}

async function cancelByHand(database: Database, jobId: string): Promise<void> {
  await database.run(
    `with ended as (
       update upload_pipeline.upload_jobs set state = 'cancelled', fence = fence + 1, finished_at = now(),
         lease_session_id = null, lease_expires_at = null, updated_at = now()
       where job_id = $1 returning job_id, status, state, fence)
     insert into upload_pipeline.events (job_id, type, status, state, fence)
     select job_id, 'cancelled', status, state, fence from ended`,
    [jobId],
  );
}

async function redriveByHand(database: Database, jobId: string): Promise<void> {
  await database.run(
    `with revived as (
       update upload_pipeline.upload_jobs set state = 'queued', finished_at = null, last_error = null, updated_at = now()
       where job_id = $1 returning job_id, status, state, fence)
     insert into upload_pipeline.events (job_id, type, status, state, fence)
     select job_id, 'redriven', status, state, fence from revived`,
    [jobId],
  );
}

/** As if the older half of its events had left by age. */
async function forgetHistory(database: Database, jobId: string): Promise<void> {
  await database.run(
    `delete from upload_pipeline.events where job_id = $1 and event_id in (
       select event_id from upload_pipeline.events where job_id = $1 order by event_id limit 5)`,
    [jobId],
  );
}
