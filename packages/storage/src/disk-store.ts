import type { KeyObject } from "node:crypto";
import { open, rmdir, stat, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { PassThrough, pipeline, type Readable } from "node:stream";
import { AppError } from "@pipeline/runtime";
import { checkDisk } from "./check-disk.ts";
import { diskFault, systemErrorCode } from "./disk-fault.ts";
import { type DownloadPromise, signDownloadLink, verifyDownloadLink } from "./download-link.ts";
import { listDisk } from "./disk-list.ts";
import { createLayout, type DiskLayout, objectPath } from "./disk-layout.ts";
import { isObjectKey } from "./object-key.ts";
import type { ListableStore, ObjectStat, SignDownloadOptions } from "./object-store.ts";
import { syncDirectory } from "./publish-file.ts";
import type { ResumableReceiver, ResumableRequest, ServeResumable } from "./receive-resumable.ts";
import { type ReceivedUpload, receiveUpload, type UploadRequest } from "./receive-upload.ts";
import { encodeUploadSecret, signUploadLink } from "./upload-link.ts";

/** An object store in a directory, and the receiving end of the links it signs. */
export interface DiskStore extends ListableStore {
  /** Serves `PUT` on UPLOAD_ROUTE; the errors are listed at `receiveUpload`. */
  receiveUpload(input: UploadRequest): Promise<ReceivedUpload>;

  /** Lets in `POST` on RESUMABLE_ROUTE, and `HEAD`, `PATCH` and `DELETE` below it, or refuses them likewise. */
  admitResumable(exchange: ResumableRequest): Promise<ServeResumable>;

  /**
   * Serves `GET` on DOWNLOAD_ROUTE. Errors: unauthorized `download_link_expired` and `download_link_invalid`, not_found
   * `object_not_found`, transient `storage_unavailable`.
   */
  openDownload(link: { bucket: string; path: string; token: string }): Promise<StoredFile>;
}

/** A file on its way out. */
export interface StoredFile extends DownloadPromise {
  body: Readable;
  bytes_len: number;
}

export interface DiskStoreOptions {
  directory: string;
  /** Base URL of the API that serves UPLOAD_ROUTE; asked for at each signature, as it is known only after listen. */
  publicUrl: () => string;
  /** Signs the links; at least 32 bytes, the same in every process that uses the directory. */
  secret: string;
}

/**
 * The store of the local stack. Several processes may use one directory: all that it knows is in the file system.
 * Creates the directory; errors: transient `storage_unavailable`, internal `upload_secret_too_short`.
 */
export function createDiskStore(options: DiskStoreOptions): DiskStore {
  const secret = encodeUploadSecret(options.secret);
  const layout = openLayout(options.directory);
  // The server for the protocol is loaded with the first such upload: it holds up no start, and workers never need it.
  let receiver: ResumableReceiver | undefined;
  const openReceiver = async (): Promise<ResumableReceiver> => {
    const { createResumableReceiver } = await import("./receive-resumable.ts");
    return (receiver ??= createResumableReceiver({ layout, secret, publicUrl: options.publicUrl }));
  };
  return {
    kind: "disk",
    signUpload: (input) => signUploadLink(input, { publicUrl: options.publicUrl(), secret }),
    receiveUpload: (request) => receiveUpload(request, { layout, secret }),
    admitResumable: async (exchange) => (await openReceiver()).admit(exchange),
    signDownload: (key, download) => signDownload(key, { ...download, publicUrl: options.publicUrl(), secret }),
    openDownload: (link) => openDownload(link, { layout, secret }),
    stat: (key) => statObject(layout, key),
    download: (key, { signal }) => openObject(layout, { key, signal }),
    remove: async (keys) => {
      for (const key of keys) await removeObject(layout, key);
    },
    check: () => checkDisk(layout),
    list: () => listDisk(layout),
  };
}

function openLayout(directory: string): DiskLayout {
  try {
    return createLayout(directory);
  } catch (error) {
    throw diskFault("create its directories", error);
  }
}

async function signDownload(
  key: string,
  { publicUrl, secret, ...download }: SignDownloadOptions & { publicUrl: string; secret: KeyObject },
): Promise<string> {
  if (!isObjectKey(key)) throw objectNotFound();
  return signDownloadLink({ key, ...download }, { publicUrl, secret });
}

async function openDownload(
  link: { bucket: string; path: string; token: string },
  disk: { layout: DiskLayout; secret: KeyObject },
): Promise<StoredFile> {
  const promise = await verifyDownloadLink(link, disk.secret);
  const stored = await statObject(disk.layout, link.path);
  if (stored === undefined) throw fileGone();
  try {
    const body = await openObject(disk.layout, { key: link.path, signal: undefined });
    return { ...promise, ...stored, body };
  } catch (error) {
    throw error instanceof AppError && error.code === "object_not_found" ? fileGone() : error;
  }
}

async function statObject(layout: DiskLayout, key: string): Promise<ObjectStat | undefined> {
  if (!isObjectKey(key)) return undefined;
  try {
    const { size } = await stat(objectPath(layout, key));
    return { bytes_len: size };
  } catch (error) {
    await requireAbsence(layout, { doing: "look up an object", error });
    return undefined;
  }
}

async function openObject(
  layout: DiskLayout,
  request: { key: string; signal: AbortSignal | undefined },
): Promise<Readable> {
  const { key, signal } = request;
  signal?.throwIfAborted();
  if (!isObjectKey(key)) throw objectNotFound();
  try {
    const file = await open(objectPath(layout, key), "r");
    return withDiskFaults(file.createReadStream(signal === undefined ? {} : { signal }));
  } catch (error) {
    await requireAbsence(layout, { doing: "open an object", error });
    throw objectNotFound(error);
  }
}

/** A disk that fails halfway through a file is as transient as one that fails at its start. */
function withDiskFaults(source: Readable): Readable {
  const output = new PassThrough({
    destroy: (error, done) => {
      done(error === null || error.name === "AbortError" ? error : diskFault("read an object", error));
    },
  });
  // The error reaches the reader through `output`; this callback has nobody to tell.
  return pipeline(source, output, () => {});
}

async function removeObject(layout: DiskLayout, key: string): Promise<void> {
  if (!isObjectKey(key)) return;
  const path = objectPath(layout, key);
  try {
    await unlink(path);
    await syncDirectory(await removeEmptyDirectories(dirname(path), layout.objects));
  } catch (error) {
    await requireAbsence(layout, { doing: "remove an object", error });
  }
}

/** Climbs to `root` as long as the directories are empty; returns the one where it stopped. */
async function removeEmptyDirectories(start: string, root: string): Promise<string> {
  let directory = start;
  while (directory !== root) {
    try {
      await rmdir(directory);
    } catch (error) {
      const code = systemErrorCode(error);
      if (code === "ENOTEMPTY" || code === "EEXIST") return directory;
      if (code !== "ENOENT") throw error; // ENOENT: another removal was faster
    }
    directory = dirname(directory);
  }
  return root;
}

/**
 * Returns when `error` says that a name is not there while the store itself is. An unmounted disk answers ENOENT for
 * everything, and that must not pass for "not uploaded yet" or "removed".
 */
async function requireAbsence(layout: DiskLayout, failure: { doing: string; error: unknown }): Promise<void> {
  if (systemErrorCode(failure.error) !== "ENOENT") throw diskFault(failure.doing, failure.error);
  try {
    await stat(layout.objects);
  } catch (error) {
    throw diskFault("find its directory", error);
  }
}

/** To whoever follows a link; to a worker it is a verdict on the document. */
function fileGone(): AppError {
  return new AppError({ kind: "not_found", code: "object_not_found", message: "There is no such file any more." });
}

function objectNotFound(cause?: unknown): AppError {
  return new AppError({
    kind: "permanent",
    code: "object_not_found",
    message: "The file is not in object storage.",
    cause,
  });
}
