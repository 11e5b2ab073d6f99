import { LIMITS, SUPPORTED_MIME_TYPES } from "@pipeline/runtime";
import { API_PREFIX } from "../../contract/urls.ts";
import {
  BYTES_LEN,
  CORRELATION_ID,
  DOCUMENT_ID,
  EXPIRES_AT,
  FILENAME,
  JOB_ID,
  METADATA,
  MIME,
  QUEUED_JOB,
  SHA256,
} from "../examples.ts";
import type { Operations } from "../operation.ts";
import { STORAGE_CODES } from "../storage-codes.ts";

const PATH = `${DOCUMENT_ID}/${JOB_ID}`;
const TOKEN = "eyJhbGciOiJIUzI1NiJ9.e30.link";
const STORAGE = "https://storage.example.com/storage/v1";

const REQUEST = { filename: FILENAME, mime: MIME, bytes_len: BYTES_LEN, sha256: SHA256, metadata: METADATA };

const UPLOAD = {
  job_id: JOB_ID,
  document_id: DOCUMENT_ID,
  signed_url: `${STORAGE}/object/upload/sign/uploads/${PATH}?token=${TOKEN}`,
  upload_expires_at: EXPIRES_AT,
  upload: { method: "PUT", headers: { "content-type": MIME }, bucket: "uploads", path: PATH, token: TOKEN },
  resumable: {
    protocol: "tus",
    url: `${STORAGE}/upload/resumable/sign`,
    headers: { "x-signature": TOKEN },
    metadata: { bucketName: "uploads", objectName: PATH, contentType: MIME },
    chunk_bytes: 6_291_456,
  },
  status: "uploaded",
  state: "waiting",
  duplicate: false,
  correlation_id: CORRELATION_ID,
};

export const uploadOperations: Operations = {
  [`POST ${API_PREFIX}/upload`]: {
    id: "createUpload",
    tag: "uploads",
    access: "user",
    headers: ["IdempotencyKey"],
    summary: "Promise a file and learn where to put it",
    description:
      "Makes the document and its job, and signs a link for the bytes. The same file again is the same document and " +
      "job: `duplicate` is true, and the link is there while the bytes are missing. Until they come the newest promise " +
      "counts, its name, type, length and metadata. After a failure a new job is made.",
    codes: [
      "uploads_in_flight_limit",
      "daily_upload_limit",
      "file_too_large",
      "unsupported_media_type",
      "empty_file",
      "ocr_unavailable",
      ...STORAGE_CODES,
    ],
    body: REQUEST,
    answers: {
      200: {
        description: "This file is under way or done already.",
        example: {
          ...UPLOAD,
          signed_url: null,
          upload_expires_at: null,
          upload: null,
          resumable: null,
          status: "complete",
          state: "done",
          duplicate: true,
        },
      },
      201: { description: "A new job waits for the bytes.", example: UPLOAD, headers: ["Location"] },
    },
  },
  [`POST ${API_PREFIX}/upload/batch`]: {
    id: "createUploads",
    tag: "uploads",
    access: "user",
    headers: ["IdempotencyKey"],
    summary: "Promise many files at once",
    description:
      "Each file by itself, as `POST /upload` takes it: one that is refused stops none of the others. The results stand " +
      "in the files' order, each with the status that `POST /upload` would have answered.",
    body: { files: [REQUEST, { ...REQUEST, filename: "empty.txt", mime: "text/plain", bytes_len: 0 }] },
    answers: {
      207: {
        description: "What came of each file.",
        example: {
          results: [
            { status: 201, upload: UPLOAD, problem: null },
            {
              status: 422,
              upload: null,
              problem: {
                type: "about:blank",
                title: "Unprocessable Entity",
                status: 422,
                code: "empty_file",
                detail: "The file is empty.",
                correlation_id: CORRELATION_ID,
              },
            },
          ],
        },
      },
    },
  },
  [`GET ${API_PREFIX}/upload/limits`]: {
    id: "getUploadLimits",
    tag: "uploads",
    access: "user",
    summary: "Every limit that applies",
    answers: {
      200: {
        description: "The same values that are enforced.",
        example: {
          max_bytes: LIMITS.maxFileBytes,
          max_pages: LIMITS.maxPages,
          supported_mime_types: [...SUPPORTED_MIME_TYPES],
          upload_link_seconds: LIMITS.uploadLinkSeconds,
          max_filename_chars: LIMITS.maxFilenameChars,
          max_metadata_bytes: LIMITS.maxMetadataBytes,
          max_request_bytes: LIMITS.maxRequestBytes,
          max_page_size: LIMITS.maxPageSize,
          max_batch_files: LIMITS.maxBatchFiles,
          max_batch_bytes: LIMITS.maxBatchBytes,
          max_streams: LIMITS.maxStreamsPerUser,
          uploads: {
            in_flight: { limit: 1000, used: 3, remaining: 997 },
            per_day: { limit: 5000, used: 12, remaining: 4988, resets_at: "2026-01-02T00:00:00.000Z" },
          },
          requests: {
            per_user: { limit: 600, used: 9, remaining: 591, resets_at: "2026-01-01T12:01:00.000Z" },
            per_address: { limit: 3000, used: 40, remaining: 2960, resets_at: "2026-01-01T12:01:00.000Z" },
          },
          search: {
            max_query_chars: LIMITS.maxQueryChars,
            max_results: 10,
            max_token_budget: 4_000,
            max_document_ids: LIMITS.maxSearchDocuments,
            default_threshold: 0.3,
          },
        },
      },
    },
  },
  [`POST ${API_PREFIX}/documents/{document_id}/uploaded`]: {
    id: "confirmUpload",
    tag: "uploads",
    access: "user",
    headers: ["IdempotencyKey"],
    summary: "Say that the file is in storage",
    description: "Optional: its job starts at once instead of at the next look into storage.",
    codes: ["document_not_found", "upload_not_expected"],
    answers: {
      202: { description: "The document's newest job.", example: QUEUED_JOB, headers: ["Location"] },
    },
  },
};
