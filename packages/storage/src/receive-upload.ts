import type { KeyObject } from "node:crypto";
import { rm, stat } from "node:fs/promises";
import type { Readable } from "node:stream";
import { AppError } from "@pipeline/runtime";
import { diskFault, systemErrorCode } from "./disk-fault.ts";
import { type DiskLayout, newPartialPath, objectPath } from "./disk-layout.ts";
import { mediaType } from "./media-type.ts";
import { isForm, openFormFile } from "./open-form-file.ts";
import { publishFile, writeNewFile } from "./publish-file.ts";
import { type UploadPromise, verifyUploadLink } from "./upload-link.ts";

/** One PUT to a signed link, as the HTTP server got it. */
export interface UploadRequest {
  bucket: string;
  path: string;
  token: string;
  body: Readable;
  contentType: string | undefined;
  contentLength: number | undefined;
}

export interface ReceivedUpload {
  key: string;
  bytes_len: number;
}

/** How much of a refused body is read and thrown away, so that its sender gets to read the answer. */
const MAX_DISCARDED_BYTES = 32 * 1024 * 1024;

/**
 * Streams the body, or the file in it if it is a form, to disk; the object appears whole and on the disk, or not at all.
 * Errors: unauthorized `upload_link_invalid` and `upload_link_expired`, invalid `upload_type_mismatch`,
 * `upload_length_mismatch`, `upload_interrupted` and `upload_form_invalid`, too_large `upload_too_large`, conflict
 * `upload_already_received`, transient `storage_full` and `storage_unavailable`.
 *
 * It sets no time limit: the HTTP server's request timeout is what ends a body that stalls.
 */
export async function receiveUpload(
  request: UploadRequest,
  disk: { layout: DiskLayout; secret: KeyObject },
): Promise<ReceivedUpload> {
  try {
    const promise = await verifyUploadLink(request, disk.secret);
    const upload = isForm(request.contentType) ? await openForm(request, request.contentType) : request;
    requirePromised(upload, promise);
    await storeWhole(upload, { layout: disk.layout, bytes_len: promise.bytes_len });
    return { key: request.path, bytes_len: promise.bytes_len };
  } catch (error) {
    discardRest(request.body);
    throw diskFault("store the upload", error);
  }
}

/** A form is longer than its file, and has a type of its own. */
async function openForm(request: UploadRequest, contentType: string): Promise<UploadRequest> {
  return { ...request, ...(await openFormFile(request.body, contentType)), contentLength: undefined };
}

/** Refuses what the headers alone give away. */
export function requirePromised(
  request: Pick<UploadRequest, "contentType" | "contentLength">,
  promise: UploadPromise,
): void {
  const declaresOtherType =
    request.contentType !== undefined && mediaType(request.contentType) !== mediaType(promise.mime);
  if (declaresOtherType) {
    throw new AppError({
      kind: "invalid",
      code: "upload_type_mismatch",
      message: `The upload was announced as ${mediaType(promise.mime)}.`,
    });
  }
  if (request.contentLength !== undefined && request.contentLength !== promise.bytes_len) {
    throw lengthMismatch(promise.bytes_len);
  }
}

/** Stores a body of exactly `bytes_len` bytes, or nothing. Errors: those above that are about bytes, conflict and disk. */
export async function storeWhole(
  upload: { path: string; body: Readable },
  disk: { layout: DiskLayout; bytes_len: number },
): Promise<void> {
  const target = objectPath(disk.layout, upload.path);
  // Spares the transfer; the link below is what decides between uploads that run side by side.
  if (await exists(target)) throw alreadyReceived();
  const partial = newPartialPath(disk.layout);
  try {
    await writeNewFile(partial, promisedBytes(upload.body, disk.bytes_len));
    const isFirst = await publishFile(partial, { target, root: disk.layout.objects });
    if (!isFirst) throw alreadyReceived();
  } finally {
    await rm(partial, { force: true });
  }
}

export async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return false;
    throw error;
  }
}

async function* promisedBytes(body: Readable, bytes_len: number): AsyncGenerator<Uint8Array> {
  let received = 0;
  for await (const chunk of readBody(body)) {
    if (!(chunk instanceof Uint8Array)) throw new TypeError("The body of an upload must be a stream of bytes.");
    received += chunk.byteLength;
    if (received > bytes_len) throw tooLarge(bytes_len);
    yield chunk;
  }
  if (received < bytes_len) throw lengthMismatch(bytes_len);
}

/** Leaves the stream open when its reader stops: a request that is destroyed never lets its connection go on. */
async function* readBody(body: Readable): AsyncGenerator {
  try {
    yield* body.iterator({ destroyOnReturn: false });
  } catch (error) {
    throw new AppError({
      kind: "invalid",
      code: "upload_interrupted",
      message: "The connection ended before the whole file had arrived.",
      cause: error,
    });
  }
}

export function discardRest(body: Readable): void {
  body.unpipe(); // whoever read it does so no longer
  body.on("error", () => {}); // the upload is already refused; without a listener this would end the process
  let discarded = 0;
  body.on("data", (chunk: Uint8Array) => {
    discarded += chunk.byteLength;
    if (discarded > MAX_DISCARDED_BYTES) body.destroy();
  });
  body.resume();
}

export function lengthMismatch(bytes_len: number): AppError {
  return new AppError({
    kind: "invalid",
    code: "upload_length_mismatch",
    message: `The upload was announced with ${bytes_len} bytes.`,
  });
}

function tooLarge(bytes_len: number): AppError {
  return new AppError({
    kind: "too_large",
    code: "upload_too_large",
    message: `The upload is longer than the ${bytes_len} bytes it was announced with.`,
  });
}

export function alreadyReceived(): AppError {
  return new AppError({
    kind: "conflict",
    code: "upload_already_received",
    message: "The file of this upload link has already been stored.",
  });
}
