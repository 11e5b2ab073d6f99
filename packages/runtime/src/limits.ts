/**
 * Every size that the service promises to keep to. The code that enforces a limit and `GET /upload/limits` both read it
 * here, so that they cannot differ.
 */
export const LIMITS = {
  /** 25 MiB, the service's published limit, and what the storage bucket is set to. */
  maxFileBytes: 25 * 1024 * 1024,
  /** The service's published limit. */
  maxPages: 500,
  maxFilenameChars: 255,
  /** Of a document's metadata, as JSON in UTF-8. */
  maxMetadataBytes: 4_096,
  /** Two hours: what hosted Supabase Storage gives every upload link (UPLOAD_SIGNED_URL_EXPIRATION_TIME). */
  uploadLinkSeconds: 7_200,
  /** Of a JSON request body; the largest legal one, a search over 100 documents with metadata, has about 20 KB. */
  maxRequestBytes: 65_536,
  /** Of POST /upload/batch; the bytes are those of so many promises, each with the longest name and metadata. */
  maxBatchFiles: 50,
  maxBatchBytes: 393_216,
  maxPageSize: 100,
  /** Code points of text in one answer with a document's content. */
  maxContentChars: 200_000,
  /** Streams of job progress in one process of the API; each holds a connection and some 300 KB at most. */
  maxStreams: 1_000,
  maxStreamsPerUser: 10,
  maxQueryChars: 2_000,
  maxSearchDocuments: 100,
} as const;
