import { STATES, STATUSES } from "@pipeline/db";
import { z } from "zod";
import type { UploadLimits } from "../settings.ts";
import { isoTime } from "./iso-time.ts";
import { metadataSchema } from "./metadata.ts";
import { filenameSchema } from "./text.ts";

/** A file that a client promises to put into storage. */
export function uploadRequest(limits: UploadLimits) {
  return z.strictObject({
    filename: filenameSchema(limits.maxFilenameChars),
    mime: z.string().max(255),
    bytes_len: z.int().min(0),
    sha256: z
      .string()
      .toLowerCase()
      .regex(/^[0-9a-f]{64}$/, { error: "must be 64 hexadecimal digits" }),
    ocr: z.boolean().default(false),
    metadata: metadataSchema(limits.maxMetadataBytes).default({}),
  });
}

export type UploadRequest = z.output<ReturnType<typeof uploadRequest>>;

/** Where to put it, and the job that waits for it. */
export const uploadBody = z.object({
  job_id: z.string(),
  document_id: z.string(),
  /** Null, like `upload` and its expiry, where the bytes are not missing. */
  signed_url: z.string().nullable(),
  upload_expires_at: isoTime.nullable(),
  upload: z
    .object({
      method: z.literal("PUT"),
      headers: z.record(z.string(), z.string()),
      bucket: z.string(),
      path: z.string(),
      token: z.string(),
    })
    .nullable(),
  /** The same file piece by piece, by the tus protocol; null where `upload` is. */
  resumable: z
    .object({
      protocol: z.literal("tus"),
      url: z.string(),
      headers: z.record(z.string(), z.string()),
      metadata: z.record(z.string(), z.string()),
      chunk_bytes: z.int(),
    })
    .nullable(),
  status: z.enum(STATUSES),
  state: z.enum(STATES),
  duplicate: z.boolean(),
  /** The job's: that of the request that made it. */
  correlation_id: z.string(),
});
export type UploadBody = z.output<typeof uploadBody>;
