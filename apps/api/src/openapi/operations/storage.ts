import { DOWNLOAD_ROUTE, RESUMABLE_ROUTE, UPLOAD_ROUTE } from "@pipeline/storage";
import { API_PREFIX } from "../../contract/urls.ts";
import { DOCUMENT_ID, JOB_ID } from "../examples.ts";
import type { Operations } from "../operation.ts";
import { STORAGE_CODES } from "../storage-codes.ts";

const REFUSALS = [
  "upload_link_expired",
  "upload_link_invalid",
  "upload_already_received",
  "upload_length_mismatch",
  "upload_type_mismatch",
  ...STORAGE_CODES,
] as const;

const TUS = "https://tus.io/protocols/resumable-upload";

/** A refusal of the protocol itself, in plain text. */
const PROTOCOL_REFUSALS = {
  400: { description: "A header that the protocol asks for is missing or not valid." },
  403: { description: "The protocol forbids it: the upload's end is known, or it may not be concluded." },
  404: { description: "No such upload." },
  410: { description: "The upload has gone." },
  412: { description: "`Tus-Resumable` is missing or not 1.0.0." },
  415: { description: "The content type is not `application/offset+octet-stream`." },
} as const;

export const storageOperations: Operations = {
  [`PUT ${UPLOAD_ROUTE.replace(":bucket/*", "{bucket}/{path}")}`]: {
    id: "putFile",
    tag: "storage",
    access: "link",
    summary: "Put the file where `signed_url` leads",
    description: "The bytes as they are, or a form with one file as supabase-js sends it. `path` may hold slashes.",
    codes: [...REFUSALS, "upload_too_large", "upload_form_invalid", "upload_interrupted"],
    answers: {
      200: { description: "The file is stored.", example: { Key: `uploads/${DOCUMENT_ID}/${JOB_ID}` } },
    },
  },
  [`GET ${DOWNLOAD_ROUTE.replace(":bucket/*", "{bucket}/{path}")}`]: {
    id: "getFile",
    tag: "storage",
    access: "link",
    summary: "Get the file where a download link leads",
    description: "`path` may hold slashes. The content type is the file's own.",
    codes: ["download_link_expired", "download_link_invalid", "object_not_found", ...STORAGE_CODES],
    answers: { 200: { description: "The file." } },
  },
  [`POST ${RESUMABLE_ROUTE}`]: {
    id: "beginResumableUpload",
    tag: "storage",
    access: "resumable",
    summary: "Begin an upload piece by piece",
    description: `The tus protocol, version 1.0.0 (${TUS}). Use a client for it; \`resumable\` of an upload has what it needs.`,
    codes: [...REFUSALS, "upload_concat_unsupported"],
    answers: {
      201: { description: "Begun; the upload is at `Location`.", headers: ["Location"] },
      ...PROTOCOL_REFUSALS,
    },
  },
  [`HEAD ${RESUMABLE_ROUTE}/{upload_id}`]: {
    id: "getResumableOffset",
    tag: "storage",
    access: "resumable",
    summary: "How much of an upload has arrived",
    description: `The tus protocol (${TUS}).`,
    codes: REFUSALS,
    answers: { 200: { description: "`Upload-Offset` says." }, ...PROTOCOL_REFUSALS },
  },
  [`PATCH ${RESUMABLE_ROUTE}/{upload_id}`]: {
    id: "sendResumablePiece",
    tag: "storage",
    access: "resumable",
    summary: "Send the next piece",
    description: `The tus protocol (${TUS}).`,
    codes: REFUSALS,
    answers: { 204: { description: "Stored; `Upload-Offset` says up to where." }, ...PROTOCOL_REFUSALS },
  },
  [`DELETE ${RESUMABLE_ROUTE}/{upload_id}`]: {
    id: "abandonResumableUpload",
    tag: "storage",
    access: "resumable",
    summary: "Give up an upload that was begun",
    description: `The tus protocol (${TUS}).`,
    codes: REFUSALS,
    answers: { 204: { description: "Its pieces are gone." }, ...PROTOCOL_REFUSALS },
  },
  [`POST ${API_PREFIX}/webhooks/llamaparse/{job_id}`]: {
    id: "receiveParserCallback",
    tag: "callbacks",
    access: "signature",
    summary: "LlamaParse says that a document has been read",
    description: "The signature is the HMAC-SHA256 of the body with the job's own secret.",
    codes: ["webhook_refused"],
    answers: { 202: { description: "The job goes on.", example: { accepted: true } } },
  },
};
