/** One document on its way, so that the examples tell one story. */
export const JOB_ID = "3f0c8a52-6d1e-4c9a-8a55-0d5f6c1b7e21";
export const DOCUMENT_ID = "b1e0a4d6-52f7-5b1c-9e43-7a2f6d8c0e19";
export const CORRELATION_ID = "9d7b3c1e-4f5a-4e0b-8c2d-1a6e5f4b3c2d";
export const CHUNK_ID = "c47a1b90-0e2d-5f6b-a3c8-5d9e8f7a6b14";
export const SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
export const FILENAME = "benefit-booklet.pdf";
export const MIME = "application/pdf";
export const BYTES_LEN = 482_133;
export const CREATED_AT = "2026-03-02T09:15:00.000Z";
export const UPDATED_AT = "2026-03-02T09:15:21.480Z";
export const EXPIRES_AT = "2026-03-02T11:15:00.000Z";
export const METADATA = { policy: "A-1047" };

export const WAITING_JOB = {
  job_id: JOB_ID,
  document_id: DOCUMENT_ID,
  status: "uploaded",
  state: "waiting",
  progress: { percent: 0 },
  retry_count: 0,
  last_error: null,
  waiting_for: "upload",
  due_at: "2026-03-02T09:15:05.000Z",
  upload_expires_at: EXPIRES_AT,
  correlation_id: CORRELATION_ID,
  created_at: CREATED_AT,
  updated_at: CREATED_AT,
  finished_at: null,
};

export const QUEUED_JOB = { ...WAITING_JOB, state: "queued", waiting_for: null, due_at: null };

export const WORKING_JOB = {
  ...QUEUED_JOB,
  status: "embedding_in_progress",
  state: "working",
  progress: { percent: 74, pages_done: 42, pages_total: 42, chunks_done: 64, chunks_total: 118 },
  updated_at: UPDATED_AT,
};

export const CANCELLED_JOB = { ...QUEUED_JOB, state: "cancelled", finished_at: UPDATED_AT };

export const PASSAGE = "The deductible for out-patient care is 250 a year.";
export const SECTION = "What you pay > Deductibles";

export const COMPLETE_DOCUMENT = {
  document_id: DOCUMENT_ID,
  filename: FILENAME,
  mime: MIME,
  bytes_len: BYTES_LEN,
  sha256: SHA256,
  status: "complete",
  state: "done",
  job_id: JOB_ID,
  last_error: null,
  title: "Your benefits",
  page_count: 42,
  is_searchable: true,
  chunk_count: 118,
  metadata: METADATA,
  created_at: CREATED_AT,
  updated_at: UPDATED_AT,
};
