import { randomUUID } from "node:crypto";
import {
  advanceJobs,
  claimJobs,
  confirmUpload,
  failJob,
  publishGeneration,
  replaceChunks,
  replacePages,
  STATUSES,
  stageFrom,
  storeEmbeddings,
  type Claim,
  type Database,
  type UploadJob,
} from "@pipeline/db";
import { createQueuedJob, createSession } from "@pipeline/db/testing";
import { createLocalEmbedder, EMBEDDING_DIMENSIONS } from "@pipeline/embedding";
import { AppError } from "@pipeline/runtime";

export interface Passage {
  text: string;
  token_count?: number;
  page?: number;
  section_path?: string[];
}

export interface StoredDocument {
  user_id: string;
  filename?: string;
  sha256?: string;
  metadata?: Record<string, unknown>;
  passages: Passage[];
}

/** A document of these passages that a worker took from upload to complete; answers its ids. */
export async function completeDocument(
  database: Database,
  document: StoredDocument,
): Promise<{ document_id: string; job_id: string }> {
  const { user_id, filename = "booklet.txt", sha256, metadata = {}, passages } = document;
  const promise = { user_id, filename, metadata, ...(sha256 === undefined ? {} : { file_sha256: sha256 }) };
  const { job } = await createQueuedJob(database, promise);
  const claim = await claimJob(database, job.job_id);
  for (const status of STATUSES) {
    const stage = stageFrom(status);
    if (stage?.to === "embeddings_stored") await storePassages(database, claim, passages);
    if (stage?.to === "complete") await database.transaction((tx) => publishGeneration(tx, claim));
    if (stage) {
      const moved = { job_id: claim.job_id, fence: claim.fence, from: status, to: stage.to, progress: {}, detail: {} };
      await advanceJobs(database, [moved]);
    }
  }
  return { document_id: job.document_id, job_id: job.job_id };
}

/** Ends a job that waits for its upload in the dead-letter queue. */
export async function deadLetter(database: Database, job: UploadJob): Promise<void> {
  const { user_id, document_id, correlation_id } = job;
  await database.transaction((tx) => confirmUpload(tx, { user_id, document_id, correlation_id }));
  const claim = await claimJob(database, job.job_id);
  const error = new AppError({ kind: "permanent", code: "upload_mismatch", message: "The file differs." });
  await failJob(database, claim, { stage: "verify", error, maxRetries: 0, delayMs: 0 });
}

export async function claimJob(database: Database, jobId: string): Promise<Claim> {
  const claims = await claimJobs(database, { session_id: await createSession(database), limit: 100 });
  const claim = claims.find((candidate) => candidate.job_id === jobId);
  if (!claim) throw new Error("The job was not claimable.");
  return claim;
}

async function storePassages(database: Database, claim: Claim, passages: Passage[]): Promise<void> {
  const embedder = createLocalEmbedder();
  const { vectors } = await embedder.embed(
    passages.map((passage) => passage.text),
    {},
  );
  const chunks = passages.map((passage, ordinal) => ({
    chunk_id: randomUUID(),
    ordinal,
    text: passage.text,
    token_count: passage.token_count ?? 10,
    page_start: passage.page ?? 1,
    page_end: passage.page ?? 1,
    char_start: 0,
    char_end: passage.text.length,
    section_path: passage.section_path ?? [],
  }));
  await database.transaction(async (tx) => {
    await replacePages(tx, claim, { title: "Booklet", pages: [{ page_number: 1, text: passages[0]?.text ?? "" }] });
    await replaceChunks(tx, claim, { chunker: { name: "test", version: "1" }, chunks });
    await storeEmbeddings(tx, claim, {
      model: embedder.model,
      version: String(EMBEDDING_DIMENSIONS),
      embeddings: chunks.map((chunk, index) => ({ chunk_id: chunk.chunk_id, vector: vectors[index] ?? [] })),
    });
  });
}
