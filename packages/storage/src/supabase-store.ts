import type { Readable } from "node:stream";
import { AppError } from "@pipeline/runtime";
import { z } from "zod";
import { checkSupabase } from "./check-supabase.ts";
import { mediaType } from "./media-type.ts";
import { isObjectKey } from "./object-key.ts";
import type { ListableStore, ObjectStat, SignDownloadOptions, SignedUpload, SignUploadInput } from "./object-store.ts";
import { type BucketPlace, prepareBucket, requireVisibleBucket } from "./supabase-bucket.ts";
import { createStorageClient } from "./supabase-client.ts";
import { type DownloadLimits, downloadObject } from "./supabase-download.ts";
import { objectNotFound, saysAlreadyExists, saysNoSuchKey, supabaseFault, unavailable } from "./supabase-failure.ts";
import { listSupabase } from "./supabase-list.ts";
import { offerResumable, requireUploadInput, UPLOAD_BUCKET } from "./upload-link.ts";

/** An object store in a bucket of Supabase Storage. */
export interface SupabaseStore extends ListableStore {
  /**
   * Creates the bucket, or proves that it is as the service's limits promise; to be called once at start. Errors:
   * internal `storage_bucket_mismatch`, and transient ones as at `check`.
   */
  prepare(): Promise<void>;
}

export interface SupabaseStoreOptions {
  /** The project's address, without `/storage/v1`. */
  url: string;
  /** The legacy JWT or a secret key of the new kind. */
  serviceRoleKey: string;
  bucket?: string;
  /** For a whole call; of a download, for the time until it begins. */
  timeoutMs?: number;
  /** How long a download may wait for its next bytes. */
  stallMs?: number;
}

type Place = BucketPlace & DownloadLimits & { url: string };

/** The server takes 1,000 keys per call. */
const REMOVE_BATCH = 1_000;

const DEFAULT_TIMEOUT_MS = 15_000;
const DEFAULT_STALL_MS = 30_000;

const infoSchema = z.object({ size: z.int().nonnegative() });

/**
 * The store of staging and production. Makes no call by itself. Where the server refuses our key or has lost the
 * bucket, every method throws a transient `storage_unauthorized` or `storage_bucket_missing`. Errors here: invalid
 * `storage_configuration_invalid`.
 */
export function createSupabaseStore(options: SupabaseStoreOptions): SupabaseStore {
  const { url, serviceRoleKey, bucket = UPLOAD_BUCKET } = options;
  const { timeoutMs = DEFAULT_TIMEOUT_MS, stallMs = DEFAULT_STALL_MS } = options;
  const client = createStorageClient({ url, serviceRoleKey, timeoutMs });
  const place: Place = { client, bucket, timeoutMs, stallMs, url: url.replace(/\/+$/u, "") };
  return {
    kind: "supabase",
    prepare: () => prepareBucket(place),
    signUpload: (input) => signUpload(place, input),
    stat: (key) => statObject(place, key),
    download: (key, { signal }) => openObject(place, { key, signal }),
    signDownload: (key, download) => signDownload(place, { key, ...download }),
    remove: (keys) => removeObjects(place, keys),
    check: () => checkSupabase(place),
    list: () => listSupabase(place),
  };
}

async function signUpload(place: Place, input: SignUploadInput): Promise<SignedUpload> {
  const { mime } = requireUploadInput(input);
  const { data, error } = await place.client.from(place.bucket).createSignedUploadUrl(input.key);
  if (saysAlreadyExists(error)) throw alreadyReceived();
  if (error !== null) throw supabaseFault("sign an upload link", error);
  return {
    url: data.signedUrl,
    method: "PUT",
    // The bucket compares the declared type letter by letter with those it allows, parameters and all.
    headers: { "content-type": mediaType(mime) },
    bucket: place.bucket,
    path: input.key,
    token: data.token,
    resumable: offerResumable({
      base: place.url,
      bucket: place.bucket,
      key: input.key,
      mime,
      token: data.token,
    }),
  };
}

async function statObject(place: Place, key: string): Promise<ObjectStat | undefined> {
  if (!isObjectKey(key)) return undefined;
  const { data, error } = await place.client.from(place.bucket).info(key);
  if (saysNoSuchKey(error)) {
    await requireVisibleBucket(place);
    return undefined;
  }
  if (error !== null) throw supabaseFault("look up an object", error);
  const parsed = infoSchema.safeParse(data);
  if (!parsed.success) throw unavailable("look up an object", "unexpected answer");
  return { bytes_len: parsed.data.size };
}

async function openObject(place: Place, request: { key: string; signal: AbortSignal | undefined }): Promise<Readable> {
  const { key, signal } = request;
  signal?.throwIfAborted();
  const stored = await statObject(place, key);
  signal?.throwIfAborted();
  if (stored === undefined) throw objectNotFound();
  try {
    return await downloadObject(place, { key, bytes_len: stored.bytes_len, signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw await absenceOr(place, { doing: "open an object", error });
  }
}

async function signDownload(place: Place, request: SignDownloadOptions & { key: string }): Promise<string> {
  const { key, expiresInSeconds, filename } = request;
  if (!isObjectKey(key)) throw objectNotFound();
  const { data, error } = await place.client.from(place.bucket).createSignedUrl(key, expiresInSeconds);
  if (error !== null) throw await absenceOr(place, { doing: "sign a download link", error });
  // The client would encode the name twice.
  return `${data.signedUrl}&download=${encodeURIComponent(filename)}`;
}

async function removeObjects(place: Place, keys: string[]): Promise<void> {
  const possible = keys.filter(isObjectKey);
  for (let start = 0; start < possible.length; start += REMOVE_BATCH) {
    const batch = possible.slice(start, start + REMOVE_BATCH);
    const { data, error } = await place.client.from(place.bucket).remove(batch);
    if (error !== null) throw supabaseFault("remove an object", error);
    // What our key may not remove is passed over in silence, as is what is not there.
    if (data.length < batch.length) await requireVisibleBucket(place);
  }
}

/** `object_not_found` where the server's word for it can be believed, else the fault. */
async function absenceOr(place: Place, failure: { doing: string; error: unknown }): Promise<AppError> {
  if (!saysNoSuchKey(failure.error)) return supabaseFault(failure.doing, failure.error);
  await requireVisibleBucket(place);
  return objectNotFound();
}

function alreadyReceived(): AppError {
  return new AppError({
    kind: "conflict",
    code: "upload_already_received",
    message: "The file of this upload has already been stored.",
  });
}
