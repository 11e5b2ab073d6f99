import { randomUUID } from "node:crypto";
import { deferRemovals, type UploadPromise, type UploadRegistrar } from "@pipeline/db";
import { documentId } from "@pipeline/runtime";
import type { UploadBody, UploadRequest } from "../contract/upload-body.ts";
import type { ApiDependencies } from "../dependencies.ts";
import type { UploadLimits } from "../settings.ts";
import { openUploadLink, type OpenedUpload } from "./open-upload-link.ts";
import { requireAcceptable } from "./require-acceptable.ts";

/** One registrar for all routes, so that what comes in by any of them is committed together. */
export interface UploadDependencies extends ApiDependencies {
  registrar: UploadRegistrar;
}

export interface AnnouncedUpload {
  user_id: string;
  correlation_id: string;
  file: UploadRequest;
}

/**
 * Makes or finds the document and its job, within what the user may have, and answers where to put the file. Throws what
 * `requireAcceptable` throws, and the errors of database and storage.
 */
export async function acceptUpload(dependencies: UploadDependencies, upload: AnnouncedUpload): Promise<UploadBody> {
  const promise = promiseOf(upload, dependencies.settings.uploadLimits);
  const registered = await dependencies.registrar.register(promise);
  if (registered.replaced_path !== null) await removeReplaced(dependencies, registered.replaced_path);
  const { uploadSeconds, correlation_id } = promise;
  const opened = await openUploadLink(dependencies, { registered, promise, uploadSeconds, correlation_id });
  return { ...presentUpload(opened), duplicate: registered.duplicate };
}

/** Early enough for a small file that nobody announces, late enough not to look in vain for most. */
const FIRST_PROBE_MS = 5_000;

function promiseOf({ user_id, correlation_id, file }: AnnouncedUpload, limits: UploadLimits): UploadPromise {
  const { filename, bytes_len, sha256, metadata } = file;
  const mime = requireAcceptable(file, limits.maxFileBytes);
  const document_id = documentId(user_id, sha256);
  const job_id = randomUUID();
  return {
    document_id,
    job_id,
    user_id,
    filename,
    mime,
    bytes_len,
    file_sha256: sha256,
    // A key of its own for each job, so that bytes of an earlier attempt are never taken for this one's.
    raw_path: `${document_id}/${job_id}`,
    metadata,
    correlation_id,
    uploadSeconds: limits.uploadLinkSeconds,
    firstProbeMs: FIRST_PROBE_MS,
  };
}

/** The file of a failed attempt. A store that is away does not stop the new attempt; workers see to what stays. */
async function removeReplaced({ database, storage, log }: ApiDependencies, path: string): Promise<void> {
  try {
    await storage.remove([path]);
    await deferRemovals(database, [path]);
  } catch (err) {
    log.warn({ err }, "replaced file not removed");
  }
}

export function presentUpload({ job, link }: OpenedUpload): Omit<UploadBody, "duplicate"> {
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
