import { randomUUID } from "node:crypto";
import { refuse } from "./refusals.ts";

/** An upload in pieces that has been created, whole or not. */
export interface ResumableUpload {
  id: string;
  bucket: string;
  key: string;
  /** The whole length, promised at its creation. */
  size: number;
  offset: number;
  /** What has arrived; empty again once the object is stored. */
  pieces: Uint8Array[];
  /** The header as it came, given back to whoever resumes. */
  rawMetadata: string;
  contentType: string | undefined;
  cacheControl: string;
  expiresAt: number;
  /** Settles when the request that is writing has ended; `stopWriter` ends it early. */
  writer: Promise<void>;
  stopWriter: () => void;
}

/** The protocol's own refusals go out as plain text with a status that means what it says. */
export class ProtocolRefusal extends Error {
  readonly status: number;

  constructor(status: number, text: string) {
    super(text);
    this.status = status;
  }
}

/** `key base64,key base64`; values are optional. */
export function parseMetadata(raw: string): Map<string, string> {
  const pairs = raw.split(",").map((pair) => pair.trim().split(" "));
  return new Map(pairs.map(([name = "", value = ""]) => [name, Buffer.from(value, "base64").toString()]));
}

/** The last part of an upload's address; it names bucket, object and version, as the service's own does. */
export function newUploadId(bucket: string, key: string): string {
  return Buffer.from(`${bucket}/${key}/${randomUUID()}`).toString("base64url");
}

/**
 * Two requests never write to one upload: the one that comes later ends the earlier, which is mostly a connection that
 * has broken without anybody noticing yet.
 */
export async function takeOver(upload: ResumableUpload): Promise<void> {
  upload.stopWriter();
  await upload.writer;
}

export function requireUnexpired(upload: ResumableUpload | undefined): ResumableUpload {
  if (upload === undefined) throw new ProtocolRefusal(404, "The file for this url was not found\n");
  if (Date.now() >= upload.expiresAt) throw new ProtocolRefusal(410, "The file for this url no longer exists\n");
  return upload;
}

/** A signed upload shows its token with every request. */
export function requireSignature(signature: string | undefined): string {
  if (signature === undefined) throw refuse.invalidSignature("Missing x-signature header");
  return signature;
}
