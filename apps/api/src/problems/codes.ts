/**
 * Every code that the API answers, with its status and what it means; docs/codes.md is tested to say the same. Search
 * answers the embedder's failures with 503, whatever they are for a job.
 */
export const PROBLEM_CODES = {
  malformed_json: { status: 400, meaning: "the body is not JSON" },
  bad_request: { status: 400, meaning: "the request is broken in a way that has no code of its own" },
  unauthorized: { status: 401, meaning: "no token, or one that is not valid here or no longer" },
  upload_link_expired: { status: 401, meaning: "the upload link is too old; ask `POST /upload` for a fresh one" },
  upload_link_invalid: { status: 401, meaning: "not a link of this service, or not for this path" },
  download_link_expired: {
    status: 401,
    meaning: "the download link is too old; ask `GET /documents/:id/download` for a fresh one",
  },
  download_link_invalid: { status: 401, meaning: "not a link of this service, or not for this path" },
  service_role_required: { status: 403, meaning: "a call for operators, with a user's token" },
  webhook_refused: {
    status: 403,
    meaning: "a callback that was refused, whatever the reason; the log of callbacks says which",
  },
  job_not_found: { status: 404, meaning: "no such job, or not yours" },
  document_not_found: { status: 404, meaning: "no such document, or not yours" },
  object_not_found: { status: 404, meaning: "the file of a download link is not there any more" },
  route_not_found: { status: 404, meaning: "no such route" },
  request_timeout: { status: 408, meaning: "the request did not arrive whole in time" },
  upload_not_expected: {
    status: 409,
    meaning: "the document's job failed or was cancelled; ask `POST /upload` for a new one",
  },
  upload_already_received: {
    status: 409,
    meaning: "the link's file is there already; a repeated upload may take it as stored",
  },
  illegal_transition: { status: 409, meaning: "the job's state forbids it" },
  job_not_cancellable: { status: 409, meaning: "the job is at its end already" },
  job_not_retryable: { status: 409, meaning: "the job is under way, waiting or done" },
  job_not_newest: { status: 409, meaning: "the document has a later job" },
  upload_again: {
    status: 409,
    meaning: "the file never came, or was not the promised one and was removed; ask `POST /upload`",
  },
  job_unfinished: { status: 409, meaning: "a job of the document is under way; wait for its end or cancel it" },
  reprocess_source_missing: {
    status: 409,
    meaning: "the document never got as far as that; begin at an earlier stage",
  },
  document_not_ready: { status: 409, meaning: "no job of the document is complete, so it has no text yet" },
  document_changed: {
    status: 409,
    meaning: "the document was processed anew between two pages of a list; begin again without a cursor",
  },
  file_not_stored: { status: 409, meaning: "the document's file is not in storage, or has not been verified yet" },
  already_exists: { status: 409, meaning: "a row with this key exists" },
  missing_reference: { status: 409, meaning: "something that this refers to has gone meanwhile" },
  embedding_model_mismatch: {
    status: 409,
    meaning: "search found nothing, and documents in its scope were embedded by another model than the one asked",
  },
  idempotency_key_in_use: {
    status: 409,
    meaning: "a request with this Idempotency-Key is under way; ask again for its answer",
  },
  file_too_large: { status: 413, meaning: "the promised length is over the limit" },
  upload_too_large: { status: 413, meaning: "more bytes came than were promised" },
  request_too_large: { status: 413, meaning: "the JSON body is over the limit" },
  unsupported_media_type: {
    status: 415,
    meaning: "the file's type is none that can be read; the detail lists those that can",
  },
  unsupported_content_type: {
    status: 415,
    meaning:
      "the request's body has a content type that this call does not take, most take JSON alone, or a `Content-Encoding`",
  },
  invalid_request: { status: 422, meaning: "fields of the request are not valid; `errors` says which" },
  idempotency_key_reused: { status: 422, meaning: "this Idempotency-Key was used for another request" },
  idempotency_key_invalid: {
    status: 422,
    meaning: "an Idempotency-Key has 1 to 255 printable characters without blanks",
  },
  empty_file: { status: 422, meaning: "a file of 0 bytes" },
  ocr_unavailable: { status: 422, meaning: "text recognition was asked for, which this version does not have" },
  invalid_cursor: { status: 422, meaning: "the cursor is none that this list gave out" },
  upload_length_mismatch: { status: 422, meaning: "the upload has another length than promised" },
  upload_type_mismatch: { status: 422, meaning: "the upload declares another type than promised" },
  upload_form_invalid: { status: 422, meaning: "the PUT is a form without a file, or not a whole form" },
  upload_concat_unsupported: {
    status: 422,
    meaning: "a resumable upload in parallel parts (`Upload-Concat`); send it as one",
  },
  upload_interrupted: { status: 422, meaning: "the connection broke before the file was whole; PUT it again" },
  uploads_in_flight_limit: {
    status: 429,
    meaning: "too many of the user's files are under way; upload more as they are done",
  },
  daily_upload_limit: { status: 429, meaning: "the user has uploaded as much as one day (UTC) allows" },
  request_limit: { status: 429, meaning: "too many requests in this minute, of the user or from the address" },
  too_many_streams: { status: 429, meaning: "the user has as many streams open as are allowed" },
  headers_too_large: { status: 431, meaning: "the request line and headers are over 16 KiB together" },
  internal_error: { status: 500, meaning: "our fault; quote the `correlation_id`" },
  auth_keys_unavailable: {
    status: 503,
    meaning: "the project's public keys, which tokens are verified with, cannot be fetched",
  },
  database_unavailable: { status: 503, meaning: "the database cannot be reached" },
  database_login_refused: {
    status: 503,
    meaning: "the database refuses the service's login, as while its password is changed",
  },
  database_missing: { status: 503, meaning: "the server has no such database, as while it is restored" },
  database_privilege_missing: {
    status: 503,
    meaning: "the database withholds a privilege that the service needs, as after a restore without its roles",
  },
  database_busy: { status: 503, meaning: "more is asked at once than the database connections serve" },
  server_busy: { status: 503, meaning: "more is asked at once than this process can answer" },
  database_conflict: { status: 503, meaning: "too much at once; the same request can succeed" },
  streams_exhausted: { status: 503, meaning: "too many streams are open here; ask for the job itself meanwhile" },
  storage_unavailable: { status: 503, meaning: "the object store cannot be reached" },
  storage_full: { status: 503, meaning: "the object store has no room" },
  storage_unauthorized: { status: 503, meaning: "the object store refuses our key, or its bucket is gone" },
  storage_bucket_missing: { status: 503, meaning: "the object store refuses our key, or its bucket is gone" },
  budget_exhausted: {
    status: 503,
    meaning: "search: the day's budget (UTC) for paid services, the user's or everybody's, is used up",
  },
  embedding_timeout: { status: 503, meaning: "search: embedding the question took too long" },
  embedding_unavailable: {
    status: 503,
    meaning: "search: the question cannot be embedded; below is what each means for jobs",
  },
  embedding_rate_limited: {
    status: 503,
    meaning: "search: the question cannot be embedded; below is what each means for jobs",
  },
  embedding_quota_exhausted: {
    status: 503,
    meaning: "search: the question cannot be embedded; below is what each means for jobs",
  },
  embedding_unauthorized: {
    status: 503,
    meaning: "search: the question cannot be embedded; below is what each means for jobs",
  },
  embedding_model_not_found: {
    status: 503,
    meaning: "search: the question cannot be embedded; below is what each means for jobs",
  },
  embedding_rejected: {
    status: 503,
    meaning: "search: the question cannot be embedded; below is what each means for jobs",
  },
  embedding_too_large: {
    status: 503,
    meaning: "search: the question cannot be embedded; below is what each means for jobs",
  },
  embedding_invalid: {
    status: 503,
    meaning: "search: the question cannot be embedded; below is what each means for jobs",
  },
} as const;
export type ProblemCode = keyof typeof PROBLEM_CODES;
