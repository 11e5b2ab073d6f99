import { chunkId } from "@pipeline/runtime";
import { z } from "zod";
import { advanceJobs } from "../checkpoints.ts";
import type { Database } from "../database.ts";
import { publishGeneration, replaceChunks, replacePages, storeEmbeddings, type NewChunk } from "../generations.ts";
import { STAGES } from "../pipeline.ts";
import { one, type Queryable } from "../queryable.ts";
import type { Hold } from "../rows.ts";
import type { UploadPromise } from "../uploads.ts";
import { createQueuedJob } from "./factories.ts";

export interface PassageInput {
  text: string;
  vector: readonly number[];
}

export interface CompleteDocument {
  document_id: string;
  job_id: string;
  chunk_ids: string[];
}

/** A vector of 1536 numbers with these at the front. */
export function vectorOf(...front: number[]): number[] {
  return [...front, ...Array.from({ length: 1536 - front.length }, () => 0)];
}

/** Chunks of one page, one per text. */
export function chunksOf(
  generation: { document_id: string; generation: number },
  texts: readonly string[],
): NewChunk[] {
  let start = 0;
  return texts.map((text, ordinal) => {
    const char_start = start;
    start += text.length;
    return {
      chunk_id: chunkId({ ...generation, chunker_name: "test", chunker_version: "1", ordinal }),
      ordinal,
      text,
      token_count: Math.max(1, Math.ceil(text.length / 4)),
      page_start: 1,
      page_end: 1,
      char_start,
      char_end: start,
      section_path: ["Section", String(ordinal)],
    };
  });
}

/** A document that went the whole way, with these passages and vectors of `model`. */
export async function createCompleteDocument(
  database: Database,
  input: { passages: readonly PassageInput[]; model?: string; upload?: Partial<UploadPromise> },
): Promise<CompleteDocument> {
  const { job, document } = await createQueuedJob(database, input.upload);
  const { job_id, document_id } = job;
  const hold = await holdNow(database, job_id);
  const generation = { document_id, generation: 1 };
  const chunks = chunksOf(
    generation,
    input.passages.map((passage) => passage.text),
  );
  await database.transaction(async (tx) => {
    const page = { page_number: 1, text: chunks.map((chunk) => chunk.text).join("") };
    await replacePages(tx, generation, { title: null, pages: [page] });
    const owned = { ...generation, user_id: document.user_id };
    await replaceChunks(tx, owned, { chunker: { name: "test", version: "1" }, chunks });
    const embeddings = chunks.map((chunk, index) => ({
      chunk_id: chunk.chunk_id,
      vector: input.passages[index]?.vector ?? [],
    }));
    await storeEmbeddings(tx, generation, { model: input.model ?? "test-model", version: "1", embeddings });
    for (const { from, to } of STAGES) {
      if (to === "complete") await publishGeneration(tx, generation);
      await advanceJobs(tx, [{ ...hold, from, to, progress: {}, detail: {} }]);
    }
  });
  return { document_id, job_id, chunk_ids: chunks.map((chunk) => chunk.chunk_id) };
}

/** Claims this very job, whatever its place in line. */
export async function holdNow(db: Queryable, jobId: string): Promise<Hold> {
  return one(
    db,
    z.object({ job_id: z.string(), fence: z.number() }),
    `update ${db.schema}.upload_jobs
     set state = 'working', fence = fence + 1, lease_session_id = gen_random_uuid(), lease_expires_at = now() + interval '1 hour'
     where job_id = $1 and state = 'queued'
     returning job_id, fence`,
    [jobId],
  );
}
