import { API_PREFIX } from "../../contract/urls.ts";
import {
  BYTES_LEN,
  CHUNK_ID,
  COMPLETE_DOCUMENT,
  DOCUMENT_ID,
  EXPIRES_AT,
  FILENAME,
  MIME,
  PASSAGE,
  QUEUED_JOB,
  SECTION,
  UPDATED_AT,
  WORKING_JOB,
} from "../examples.ts";
import type { Operations } from "../operation.ts";
import { STORAGE_CODES } from "../storage-codes.ts";

export const documentOperations: Operations = {
  [`GET ${API_PREFIX}/documents`]: {
    id: "listDocuments",
    tag: "documents",
    access: "user",
    summary: "The user's documents, newest first",
    codes: ["invalid_cursor"],
    answers: {
      200: {
        description: "A page of documents; `next_cursor` is null at the end.",
        example: { documents: [COMPLETE_DOCUMENT], next_cursor: null },
      },
    },
  },
  [`GET ${API_PREFIX}/documents/{document_id}`]: {
    id: "getDocument",
    tag: "documents",
    access: "user",
    summary: "One document",
    codes: ["document_not_found"],
    answers: { 200: { description: "The document, with what became of its newest job.", example: COMPLETE_DOCUMENT } },
  },
  [`DELETE ${API_PREFIX}/documents/{document_id}`]: {
    id: "deleteDocument",
    tag: "documents",
    access: "user",
    summary: "Delete a document with everything made of it",
    description: "In whatever state it is. Its file goes too, at the latest when storage is there again.",
    codes: ["document_not_found"],
    answers: { 204: { description: "It is gone." } },
  },
  [`GET ${API_PREFIX}/documents/{document_id}/status`]: {
    id: "getDocumentStatus",
    tag: "documents",
    access: "user",
    summary: "How far a document is",
    codes: ["document_not_found"],
    answers: {
      200: {
        description: "Its status, with its newest job.",
        example: {
          document_id: DOCUMENT_ID,
          status: WORKING_JOB.status,
          state: WORKING_JOB.state,
          last_error: null,
          is_searchable: false,
          chunk_count: 0,
          updated_at: UPDATED_AT,
          job: WORKING_JOB,
        },
      },
    },
  },
  [`GET ${API_PREFIX}/documents/{document_id}/content`]: {
    id: "getDocumentContent",
    tag: "documents",
    access: "user",
    summary: "A document's text, page by page",
    codes: ["document_not_found", "document_not_ready", "document_changed", "invalid_cursor"],
    answers: {
      200: {
        description: "A page of pages; `next_cursor` is null at the end.",
        example: {
          document_id: DOCUMENT_ID,
          pages: [{ page_number: 12, text: PASSAGE, is_continued: false, is_cut: false }],
          next_cursor: null,
        },
      },
    },
  },
  [`GET ${API_PREFIX}/documents/{document_id}/chunks`]: {
    id: "listDocumentChunks",
    tag: "documents",
    access: "user",
    summary: "The passages of a document that search can find",
    codes: ["document_not_found", "document_not_ready", "document_changed", "invalid_cursor"],
    answers: {
      200: {
        description: "A page of passages in their order; `next_cursor` is null at the end.",
        example: {
          chunks: [
            {
              chunk_id: CHUNK_ID,
              ordinal: 0,
              text: PASSAGE,
              token_count: 12,
              page_start: 12,
              page_end: 12,
              char_start: 18_204,
              char_end: 18_254,
              section: SECTION,
              chunker_name: "structure",
              chunker_version: "1",
              embed_model: "text-embedding-3-small",
              embed_version: "1536",
            },
          ],
          next_cursor: null,
        },
      },
    },
  },
  [`GET ${API_PREFIX}/documents/{document_id}/download`]: {
    id: "signDocumentDownload",
    tag: "documents",
    access: "user",
    summary: "A link to the file as it was uploaded",
    codes: ["document_not_found", "file_not_stored", ...STORAGE_CODES],
    answers: {
      200: {
        description: "The link, which needs no token until it expires.",
        example: {
          url: "https://storage.example.com/storage/v1/object/sign/uploads/file?token=eyJhbGciOiJIUzI1NiJ9.e30.link",
          expires_at: EXPIRES_AT,
          filename: FILENAME,
          mime: MIME,
          bytes_len: BYTES_LEN,
        },
      },
    },
  },
  [`POST ${API_PREFIX}/documents/{document_id}/reprocess`]: {
    id: "reprocessDocument",
    tag: "documents",
    access: "user",
    headers: ["IdempotencyKey"],
    summary: "Build a document anew from a stage on",
    description: "A new job, which keeps what was made before that stage. What search sees stays until it is done.",
    codes: [
      "document_not_found",
      "job_unfinished",
      "reprocess_source_missing",
      "upload_again",
      "uploads_in_flight_limit",
      "daily_upload_limit",
    ],
    body: { from: "chunk" },
    answers: {
      202: {
        description: "The new job.",
        example: { ...QUEUED_JOB, status: "chunking" },
        headers: ["Location"],
      },
    },
  },
};
