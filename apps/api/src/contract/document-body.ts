import { lastErrorRow, STATES, STATUSES, type DocumentWithJob } from "@pipeline/db";
import { z } from "zod";
import { idParam } from "./id-param.ts";
import { isoTime } from "./iso-time.ts";

export const documentParams = z.object({ document_id: idParam });

/** A document as its owner sees it, with what became of its newest job. */
export const documentBody = z
  .object({
    document_id: z.string(),
    filename: z.string(),
    mime: z.string(),
    bytes_len: z.number(),
    sha256: z.string(),
    status: z.enum(STATUSES),
    state: z.enum(STATES).nullable(),
    job_id: z.string().nullable(),
    last_error: lastErrorRow.nullable(),
    title: z.string().nullable(),
    page_count: z.number().nullable(),
    /** Whether search finds passages of it: once a job is complete, and while the model that embedded it is the one asked. */
    is_searchable: z.boolean(),
    /** Passages of what was complete last; 0 until a job is. */
    chunk_count: z.number(),
    metadata: z.record(z.string(), z.unknown()),
    created_at: isoTime,
    updated_at: isoTime,
  })
  .meta({ id: "Document" });
export type DocumentBody = z.output<typeof documentBody>;

/** `model` embeds the questions. */
export function presentDocument(document: DocumentWithJob, model: string): DocumentBody {
  const {
    file_sha256,
    processing_status,
    embed_model,
    user_id: _,
    raw_path: __,
    live_generation: ___,
    ...facts
  } = document;
  return { ...facts, sha256: file_sha256, status: processing_status, is_searchable: embed_model === model };
}
