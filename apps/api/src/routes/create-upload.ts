import { randomUUID } from "node:crypto";
import { registerUpload, STATES, STATUSES, type UploadPromise } from "@pipeline/db";
import { documentId } from "@pipeline/runtime";
import type { FastifyPluginAsyncZod } from "fastify-type-provider-zod";
import { z } from "zod";
import { isoTime } from "../contract/iso-time.ts";
import { metadataSchema } from "../contract/metadata.ts";
import { filenameSchema } from "../contract/text.ts";
import { jobUrl } from "../contract/urls.ts";
import type { ApiDependencies } from "../dependencies.ts";
import { BODY_PROBLEMS, COMMON_PROBLEMS, problem } from "../problems/problem.ts";
import type { UploadLimits } from "../settings.ts";
import { openUploadLink, type OpenedUpload } from "../uploads/open-upload-link.ts";
import { requireAcceptable } from "../uploads/require-acceptable.ts";

const uploadBody = z.object({
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

/** Takes the promise of a file and answers where to put it. The same file again is the same document and job. */
export const createUpload: FastifyPluginAsyncZod<ApiDependencies> = async (app, dependencies) => {
  const { database, settings } = dependencies;
  const limits = settings.uploadLimits;
  const responses = {
    200: uploadBody,
    201: uploadBody,
    ...BODY_PROBLEMS,
    422: problem,
    ...COMMON_PROBLEMS,
  } as const;
  app.route({
    method: "POST",
    url: "/upload",
    schema: { body: uploadRequest(limits), response: responses },
    handler: async (request, reply) => {
      const promise = promiseOf(request, limits);
      const registered = await database.transaction((tx) => registerUpload(tx, promise));
      if (registered.replaced_path !== null) await removeReplaced(dependencies, registered.replaced_path);
      const opened = await openUploadLink(dependencies, { registered, promise });
      const body = { ...presentUpload(opened), duplicate: registered.duplicate };
      if (registered.duplicate) return reply.code(200).send(body);
      return reply.code(201).header("location", jobUrl(opened.job.job_id)).send(body);
    },
  });
};

/** The file of a failed attempt. A store that is away does not stop the new attempt; what stays is swept up later. */
async function removeReplaced({ storage, log }: ApiDependencies, path: string): Promise<void> {
  try {
    await storage.remove([path]);
  } catch (err) {
    log.warn({ err }, "replaced file not removed");
  }
}

function uploadRequest(limits: UploadLimits) {
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

/** Early enough for a small file that nobody announces, late enough not to look in vain for most. */
const FIRST_PROBE_MS = 5_000;

function promiseOf(
  request: { id: string; userId: string; body: z.output<ReturnType<typeof uploadRequest>> },
  limits: UploadLimits,
): UploadPromise {
  const { filename, bytes_len, sha256, metadata } = request.body;
  const mime = requireAcceptable(request.body, limits.maxFileBytes);
  const document_id = documentId(request.userId, sha256);
  const job_id = randomUUID();
  return {
    document_id,
    job_id,
    user_id: request.userId,
    filename,
    mime,
    bytes_len,
    file_sha256: sha256,
    // A key of its own for each job, so that bytes of an earlier attempt are never taken for this one's.
    raw_path: `${document_id}/${job_id}`,
    metadata,
    correlation_id: request.id,
    uploadSeconds: limits.uploadLinkSeconds,
    firstProbeMs: FIRST_PROBE_MS,
  };
}

function presentUpload({ job, link }: OpenedUpload): Omit<z.output<typeof uploadBody>, "duplicate"> {
  const { job_id, document_id, status, state, correlation_id } = job;
  const facts = { job_id, document_id, status, state, correlation_id };
  if (!link) return { ...facts, signed_url: null, upload_expires_at: null, upload: null, resumable: null };
  const { url, resumable, ...upload } = link;
  return {
    ...facts,
    signed_url: url,
    upload_expires_at: job.upload_expires_at,
    upload,
    resumable: { protocol: "tus" as const, ...resumable },
  };
}
