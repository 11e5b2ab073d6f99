import type { KeyObject } from "node:crypto";
import { createReadStream } from "node:fs";
import { rm, stat } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import { FileStore } from "@tus/file-store";
import { Metadata, Server, type Upload } from "@tus/server";
import { AppError } from "@pipeline/runtime";
import { diskFault, systemErrorCode } from "./disk-fault.ts";
import { type DiskLayout, objectPath } from "./disk-layout.ts";
import { alreadyReceived, discardRest, exists, lengthMismatch, requirePromised, storeWhole } from "./receive-upload.ts";
import {
  RESUMABLE_ROUTE,
  RESUMABLE_TOKEN_HEADER,
  UPLOAD_BUCKET,
  type UploadPromise,
  verifyUploadLink,
} from "./upload-link.ts";

/** One request of a resumable upload, as the HTTP server got it. */
export interface ResumableRequest {
  request: IncomingMessage;
  response: ServerResponse;
  /** The last part of the upload's address; undefined where one is to be begun. */
  id: string | undefined;
}

/** Answers a request that was let in. */
export type ServeResumable = () => Promise<void>;

export interface ResumableReceiver {
  /**
   * Lets a request in, or refuses it before anything was answered. Errors: those of `receiveUpload`. What it gives
   * serves the request by the protocol.
   */
  admit(exchange: ResumableRequest): Promise<ServeResumable>;
}

interface ReceiverOptions {
  layout: DiskLayout;
  secret: KeyObject;
  publicUrl: () => string;
}

/** How long a request that hangs on a broken connection keeps the next one of its upload waiting. */
const TAKE_OVER_MS = 1_000;

/**
 * The tus protocol 1.0.0 with the tokens of upload links. An upload's id is made of its key, so whoever begins it anew
 * takes the place of what came before: one link never fills more room than its file. The finished file is copied into
 * place on the way of every PUT; nothing that a client can still write to becomes an object.
 */
export function createResumableReceiver({ layout, secret, publicUrl }: ReceiverOptions): ResumableReceiver {
  // What clients give up on is cleared by the check, by the age of the last write.
  const parts = new FileStore({ directory: layout.resumable });
  const admitted: AdmittedIds = new WeakMap();
  const server = new Server({
    path: RESUMABLE_ROUTE,
    datastore: parts,
    lockDrainTimeout: TAKE_OVER_MS,
    // Who may call from where is decided before a request gets here.
    allowedOrigins: () => false,
    // Left to itself the server takes the end of the whole URL for the id, query included: another than the token is for.
    getFileIdFromRequest: (request) => admittedId(admitted, request),
    namingFunction: (request) => admittedId(admitted, request),
    generateUrl: (_, { id }) => `${publicUrl().replace(/\/+$/u, "")}${RESUMABLE_ROUTE}/${id}`,
    onUploadFinish: async (_, upload) => {
      await publishParts(layout, upload);
      return {};
    },
    onResponseError: (_, error) => describeRefusal(error),
  });
  return {
    admit: async (exchange) => {
      try {
        return await admit(exchange, { layout, secret, parts, admitted, server });
      } catch (error) {
        discardRest(exchange.request);
        throw diskFault("take a resumable upload", error);
      }
    },
  };
}

/** The id of the upload that a request's token is for, by the request. */
type AdmittedIds = WeakMap<object, string>;

function admittedId(admitted: AdmittedIds, { runtime }: { runtime?: { node?: { req: object } } }): string {
  const id = runtime?.node === undefined ? undefined : admitted.get(runtime.node.req);
  if (id === undefined) throw new Error("A resumable upload was asked for without having been let in.");
  return id;
}

interface Receiver {
  layout: DiskLayout;
  secret: KeyObject;
  parts: FileStore;
  admitted: AdmittedIds;
  server: Server;
}

async function admit(exchange: ResumableRequest, receiver: Receiver): Promise<ServeResumable> {
  const { request, response, id } = exchange;
  const declared = id === undefined ? readDeclared(request) : { bucket: UPLOAD_BUCKET, path: keyOf(id) };
  const token = headerOf(request, RESUMABLE_TOKEN_HEADER) ?? "";
  const promise = await verifyUploadLink({ ...declared, token }, receiver.secret);
  if (request.method === "HEAD" && (await isThere(receiver.layout, { key: declared.path, promise }))) {
    return async () => answerWhole(response, promise);
  }
  if (await exists(objectPath(receiver.layout, declared.path))) throw alreadyReceived();
  const verifiedId = idOf(declared.path);
  if (id === undefined) {
    requireNoParts(request);
    requireDeclared(declared, promise);
  } else await requireSameLength(receiver.parts, { id: verifiedId, promise });
  receiver.admitted.set(request, verifiedId);
  return () => receiver.server.handle(request, response);
}

/**
 * Whether nothing more is to be sent. That is not to be told while the parts alone are whole: whoever is told so counts
 * the file as stored. The last answer may have been lost, or the process may have ended just before it.
 */
async function isThere(layout: DiskLayout, upload: { key: string; promise: UploadPromise }): Promise<boolean> {
  const { key, promise } = upload;
  if (await exists(objectPath(layout, key))) return true;
  const id = idOf(key);
  if ((await sizeOf(join(layout.resumable, id))) !== promise.bytes_len) return false;
  await publishParts(layout, { id, size: promise.bytes_len });
  return true;
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

interface DeclaredFile {
  bucket: string;
  path: string;
  contentType?: string | undefined;
  contentLength?: number | undefined;
}

/** What the request that begins an upload says of its file. */
function readDeclared(request: IncomingMessage): DeclaredFile {
  const metadata = parseMetadata(headerOf(request, "upload-metadata"));
  const length = headerOf(request, "upload-length");
  return {
    bucket: metadata["bucketName"] ?? "",
    path: metadata["objectName"] ?? "",
    contentType: metadata["contentType"] ?? undefined,
    contentLength: length === undefined ? undefined : Number(length),
  };
}

function parseMetadata(header: string | undefined): Record<string, string | null> {
  try {
    return header === undefined ? {} : Metadata.parse(header);
  } catch {
    // Without a bucket and a path no token fits.
    return {};
  }
}

/** One link is one upload: what is to be put together of several would leave pieces that no token is for. */
function requireNoParts(request: IncomingMessage): void {
  if (headerOf(request, "upload-concat") === undefined) return;
  throw new AppError({
    kind: "invalid",
    code: "upload_concat_unsupported",
    message: "An upload is sent as one: `Upload-Concat` is not taken. Turn parallel uploads off in the client.",
  });
}

/** A length that is told later could be any, so it is told at once. */
function requireDeclared({ contentType, contentLength }: DeclaredFile, promise: UploadPromise): void {
  if (contentLength === undefined) throw lengthMismatch(promise.bytes_len);
  requirePromised({ contentType, contentLength }, promise);
}

/** What was begun under another promise for the same path is not gone on with. */
async function requireSameLength(parts: FileStore, upload: { id: string; promise: UploadPromise }): Promise<void> {
  const begun = await parts.configstore.get(upload.id);
  if (begun !== undefined && begun.size !== upload.promise.bytes_len) throw lengthMismatch(upload.promise.bytes_len);
}

function answerWhole(response: ServerResponse, { bytes_len }: UploadPromise): void {
  response.writeHead(200, {
    "tus-resumable": "1.0.0",
    "cache-control": "no-store",
    "upload-offset": bytes_len,
    "upload-length": bytes_len,
  });
  response.end();
}

async function publishParts(layout: DiskLayout, upload: Pick<Upload, "id" | "size">): Promise<void> {
  const received = join(layout.resumable, upload.id);
  const body = createReadStream(received);
  // Another request may have been faster and removed it; whoever reads is told.
  body.on("error", () => {});
  try {
    await storeWhole({ path: keyOf(upload.id), body }, { layout, bytes_len: upload.size ?? 0 });
  } catch (error) {
    throw diskFault("store the upload", error);
  } finally {
    body.destroy();
  }
  await rm(received, { force: true });
  await rm(`${received}.json`, { force: true });
}

/** What the protocol may be refused with; the contract declares them. */
const PROTOCOL_STATUSES: ReadonlySet<number> = new Set([400, 403, 404, 409, 410, 412, 413, 415, 500]);

/** Our own refusals with their codes; the protocol's stay as they are, as far as they are declared. */
export function describeRefusal(error: unknown): { status_code: number; body: string } | undefined {
  if (error instanceof AppError) {
    const { code, kind } = error;
    return { status_code: kind === "conflict" ? 409 : 503, body: JSON.stringify({ code }) };
  }
  const status = statusOf(error);
  if (status === undefined || PROTOCOL_STATUSES.has(status)) return undefined;
  // 501 is an extension that the client may not ask for: its fault, not ours.
  const isClients = status < 500 || status === 501;
  return isClients
    ? { status_code: 400, body: "The protocol forbids it, or the server does not have it.\n" }
    : { status_code: 500, body: "Something went wrong with that request.\n" };
}

function statusOf(error: unknown): number | undefined {
  if (typeof error !== "object" || error === null || !("status_code" in error)) return undefined;
  return typeof error.status_code === "number" ? error.status_code : undefined;
}

/** Keys are UUIDs joined by "/", and none of both holds a "_". */
function idOf(key: string): string {
  return key.replaceAll("/", "_");
}

function keyOf(id: string): string {
  return id.replaceAll("_", "/");
}

function headerOf(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}
