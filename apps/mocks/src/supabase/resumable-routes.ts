import { type Answer, emptyAnswer } from "./answer.ts";
import { requireService } from "./authorize.ts";
import { getBucket, putObject, requireAllowedType, requireValidKey } from "./buckets.ts";
import { bodyChunks, contentLength, type Exchange, header } from "./exchange.ts";
import { verifyLink } from "./project-keys.ts";
import { refuse } from "./refusals.ts";
import {
  newUploadId,
  parseMetadata,
  ProtocolRefusal,
  requireSignature,
  requireUnexpired,
  type ResumableUpload,
  takeOver,
} from "./resumable-uploads.ts";
import { sizeLimit } from "./upload-routes.ts";

/** The hosted service takes no other size but for the last piece. */
const PIECE_BYTES = 6 * 1024 * 1024;

const PIECE_TYPE = "application/offset+octet-stream";

export async function createResumable(exchange: Exchange): Promise<Answer> {
  requireProtocol(exchange);
  const size = readLength(header(exchange, "upload-length"));
  const upload = newUpload(exchange, { size, rawMetadata: header(exchange, "upload-metadata") ?? "" });
  requireValidKey(upload.key);
  const bucket = getBucket(exchange.project.buckets, upload.bucket);
  if (size > sizeLimit(bucket)) throw new ProtocolRefusal(413, "Maximum size exceeded\n");
  await authorize(exchange, upload);
  // The token of a signed upload is not asked whether it may replace: only the plain route looks at what is there.
  const mayReplace = isSigned(exchange) || header(exchange, "x-upsert") === "true";
  if (!mayReplace && bucket.objects.has(upload.key)) throw refuse.keyExists();
  // What declares no type is not checked for it.
  if (upload.contentType !== undefined) requireAllowedType(bucket, upload.contentType);
  exchange.project.uploads.set(upload.id, upload);
  if (header(exchange, "content-type") === PIECE_TYPE) await writePiece(exchange, upload);
  return emptyAnswer(201, {
    ...progress(upload),
    location: uploadAddress(exchange, upload),
  });
}

function uploadAddress({ project, url }: Exchange, upload: ResumableUpload): string {
  const protocol = project.isProduction ? "https" : "http";
  return `${protocol}://${url.host}${url.pathname.replace(/\/+$/u, "")}/${upload.id}`;
}

function newUpload(exchange: Exchange, promised: { size: number; rawMetadata: string }): ResumableUpload {
  const metadata = parseMetadata(promised.rawMetadata);
  const [bucket, key] = [metadata.get("bucketName") ?? "", metadata.get("objectName") ?? ""];
  const seconds = metadata.get("cacheControl") ?? "";
  return {
    ...promised,
    id: newUploadId(bucket, key),
    bucket,
    key,
    offset: 0,
    pieces: [],
    contentType: metadata.get("contentType"),
    cacheControl: /^\d+$/u.test(seconds) ? `max-age=${seconds}` : "no-cache",
    expiresAt: Date.now() + exchange.project.resumableSeconds * 1000,
    writer: Promise.resolve(),
    stopWriter: () => {},
  };
}

export async function showResumable(exchange: Exchange): Promise<Answer> {
  const upload = await openUpload(exchange);
  return emptyAnswer(200, {
    "cache-control": "no-store",
    "upload-offset": String(upload.offset),
    "upload-length": String(upload.size),
    "upload-metadata": upload.rawMetadata,
  });
}

export async function continueResumable(exchange: Exchange): Promise<Answer> {
  if (header(exchange, "upload-offset") === undefined) {
    throw new ProtocolRefusal(403, "Upload-Offset header required\n");
  }
  if (header(exchange, "content-type") !== PIECE_TYPE) {
    throw new ProtocolRefusal(403, "Content-Type header required\n");
  }
  const upload = await openUpload(exchange);
  if (upload.offset !== Number(header(exchange, "upload-offset"))) {
    throw new ProtocolRefusal(409, "Upload-Offset conflict\n");
  }
  await writePiece(exchange, upload);
  return emptyAnswer(204, progress(upload));
}

export async function terminateResumable(exchange: Exchange): Promise<Answer> {
  const upload = await openUpload(exchange);
  if (upload.offset === upload.size) {
    throw new ProtocolRefusal(400, "Cannot terminate an already completed upload");
  }
  exchange.project.uploads.delete(upload.id);
  return emptyAnswer(204);
}

/** An OPTIONS that no browser sent: the protocol's way to ask what the server can do. */
export async function describeResumable(): Promise<Answer> {
  return emptyAnswer(204, {
    "tus-version": "1.0.0",
    "tus-extension": "creation,creation-with-upload,termination,expiration",
  });
}

function isSigned(exchange: Exchange): boolean {
  return exchange.params["signed"] === "/sign";
}

async function openUpload(exchange: Exchange): Promise<ResumableUpload> {
  requireProtocol(exchange);
  const found = exchange.project.uploads.get(exchange.params["id"] ?? "");
  if (found === undefined) return requireUnexpired(found);
  await authorize(exchange, found);
  await takeOver(found);
  return requireUnexpired(found);
}

function requireProtocol(exchange: Exchange): void {
  if (header(exchange, "tus-resumable") === undefined) throw new ProtocolRefusal(412, "Tus-Resumable Required\n");
}

function readLength(value: string | undefined): number {
  if (value !== undefined && /^\d+$/u.test(value)) return Number(value);
  throw new ProtocolRefusal(400, "Upload-Length or Upload-Defer-Length header required\n");
}

async function authorize(exchange: Exchange, target: { bucket: string; key: string }): Promise<void> {
  if (!isSigned(exchange)) {
    await requireService(exchange);
    return;
  }
  const token = requireSignature(header(exchange, "x-signature"));
  await verifyLink(exchange.project.keys, { token, url: `${target.bucket}/${target.key}`, scope: "upload" });
}

/** Keeps what arrives as it arrives: what a broken connection had brought is not sent again. */
async function writePiece(exchange: Exchange, upload: ResumableUpload): Promise<void> {
  requirePieceLength(contentLength(exchange), upload);
  const ended = Promise.withResolvers<void>();
  upload.writer = ended.promise;
  upload.stopWriter = () => exchange.request.destroy();
  try {
    for await (const chunk of bodyChunks(exchange)) {
      if (upload.offset + chunk.byteLength > upload.size) throw new ProtocolRefusal(413, "upload's size exceeded\n");
      upload.pieces.push(chunk);
      upload.offset += chunk.byteLength;
    }
  } finally {
    upload.stopWriter = () => {};
    ended.resolve();
  }
  if (upload.offset === upload.size) storeWhole(exchange, upload);
}

function requirePieceLength(length: number | undefined, upload: ResumableUpload): void {
  if (length === undefined || length === PIECE_BYTES || upload.offset + length === upload.size) return;
  if (upload.offset + length > upload.size) throw new ProtocolRefusal(413, "upload's size exceeded\n");
  throw new ProtocolRefusal(400, `Every piece but the last must have ${PIECE_BYTES} bytes\n`);
}

function storeWhole(exchange: Exchange, upload: ResumableUpload): void {
  putObject(getBucket(exchange.project.buckets, upload.bucket), upload.key, {
    bytes: Buffer.concat(upload.pieces, upload.size),
    content_type: upload.contentType ?? "application/octet-stream",
    cache_control: upload.cacheControl,
  });
  upload.pieces = [];
}

function progress(upload: ResumableUpload): Record<string, string> {
  return {
    "upload-offset": String(upload.offset),
    ...(upload.offset === upload.size
      ? { "tus-complete": "1" }
      : { "upload-expires": new Date(upload.expiresAt).toUTCString() }),
  };
}
