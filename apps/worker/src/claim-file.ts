import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { Claim } from "@pipeline/db";
import { checkContent } from "@pipeline/parsing";
import { AppError, askPatiently, type Format, isRetryable } from "@pipeline/runtime";
import type { ObjectStore } from "@pipeline/storage";
import { createCopyDirectory, removeCopyDirectory } from "./local-copies.ts";

/** A local copy whose length, sha256 and magic bytes are what the upload promised. */
export interface VerifiedFile {
  path: string;
  format: Format;
}

/** The document's bytes for as long as one claim lasts. */
export interface ClaimFile {
  /**
   * Downloads and verifies at the first call; later calls share the result. Errors: permanent `length_mismatch`,
   * `hash_mismatch` and whatever `checkContent` finds, and the store's own (`object_not_found`, `storage_unavailable`).
   */
  fetch(signal: AbortSignal): Promise<VerifiedFile>;
  /** True once the stored bytes proved not to be the promised ones. */
  isRejected(): boolean;
  /** Removes the local copy. */
  clean(): Promise<void>;
}

export interface ClaimFilePlace {
  storage: ObjectStore;
  /** Copies go below it. */
  copiesDirectory: string;
}

export function createClaimFile(claim: Claim, place: ClaimFilePlace): ClaimFile {
  const { storage, copiesDirectory } = place;
  let fetched: Promise<VerifiedFile> | undefined;
  let directory: string | undefined;
  let isRejected = false;

  const clean = async (): Promise<void> => {
    if (directory !== undefined) await removeCopyDirectory(directory);
  };
  const fetchOnce = async (signal: AbortSignal): Promise<VerifiedFile> => {
    directory = await createCopyDirectory(copiesDirectory);
    try {
      const path = join(directory, "document");
      await downloadPatiently({ claim, storage, path, signal });
      return { path, format: await checkContent({ path, mime: claim.mime }) };
    } catch (error) {
      isRejected = !signal.aborted && isVerdict(error);
      // The claim may be over already when an aborted download gets here.
      await clean();
      throw error;
    }
  };
  return {
    fetch: (signal) => (fetched ??= fetchOnce(signal)),
    isRejected: () => isRejected,
    clean,
  };
}

/** True for errors that say something final about the bytes; a missing object and a full disk do not. */
function isVerdict(error: unknown): boolean {
  return (
    error instanceof AppError && error.kind !== "internal" && error.code !== "object_not_found" && !isRetryable(error)
  );
}

interface Download extends Omit<ClaimFilePlace, "copiesDirectory"> {
  claim: Claim;
  path: string;
  signal: AbortSignal;
}

function downloadPatiently(wanted: Download): Promise<void> {
  return askPatiently(async () => {
    await rm(wanted.path, { force: true });
    await download(wanted);
  }, wanted);
}

/** Counts and hashes while the bytes pass, and stops at the first one too many, whatever the store holds. */
async function download({ claim, storage, path, signal }: Download): Promise<void> {
  const source = await storage.download(claim.raw_path, { signal });
  const hash = createHash("sha256");
  let length = 0;
  async function* measure(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      length += chunk.byteLength;
      if (length > claim.bytes_len) throw lengthMismatch(claim, length);
      hash.update(chunk);
      yield chunk;
    }
  }
  await pipeline(source, measure, createWriteStream(path, { flags: "wx", mode: 0o600 }), { signal });
  if (length !== claim.bytes_len) throw lengthMismatch(claim, length);
  if (hash.digest("hex") !== claim.file_sha256.toLowerCase()) throw hashMismatch(claim, length);
}

function lengthMismatch(claim: Claim, receivedBytes: number): AppError {
  return new AppError({
    kind: "permanent",
    code: "length_mismatch",
    message: "The uploaded file does not have the length that was announced. Upload it again.",
    details: { expected_bytes: claim.bytes_len, received_bytes: receivedBytes },
  });
}

function hashMismatch(claim: Claim, receivedBytes: number): AppError {
  return new AppError({
    kind: "permanent",
    code: "hash_mismatch",
    message: "The uploaded file is not the one that was announced: its SHA-256 differs. Upload it again.",
    details: { expected_bytes: claim.bytes_len, received_bytes: receivedBytes },
  });
}
