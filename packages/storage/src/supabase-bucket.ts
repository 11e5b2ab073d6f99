import { AppError, LIMITS, SUPPORTED_MIME_TYPES } from "@pipeline/runtime";
import { z } from "zod";
import type { StorageClient } from "./supabase-client.ts";
import { saysAlreadyExists, saysNoSuchBucket, supabaseFault, unavailable } from "./supabase-failure.ts";

/** What the service's limits are worth depends on the bucket having the same: uploads never pass through the service. */
const SETTINGS = {
  public: false,
  fileSizeLimit: LIMITS.maxFileBytes,
  allowedMimeTypes: [...SUPPORTED_MIME_TYPES],
};

const bucketSchema = z.object({
  public: z.boolean(),
  file_size_limit: z.number().nullish(),
  allowed_mime_types: z.array(z.string()).nullish(),
});

export interface BucketPlace {
  client: StorageClient;
  bucket: string;
}

/** Creates the bucket if it is missing; else the same as `requireBucket`. Any number of processes may do so at once. */
export async function prepareBucket(place: BucketPlace): Promise<void> {
  const { data, error } = await place.client.getBucket(place.bucket);
  if (error === null) {
    assertSettings(place.bucket, data);
    return;
  }
  if (!saysNoSuchBucket(error)) throw supabaseFault("look up its bucket", error);
  const created = await place.client.createBucket(place.bucket, SETTINGS);
  if (created.error !== null && !saysAlreadyExists(created.error)) {
    throw supabaseFault("create its bucket", created.error);
  }
  await requireBucket(place);
}

/**
 * The bucket is there, visible to our key, private and limited as we promise. Errors: internal
 * `storage_bucket_mismatch`, transient `storage_bucket_missing`, `storage_unauthorized` and `storage_unavailable`.
 */
export async function requireBucket(place: BucketPlace): Promise<void> {
  const { data, error } = await place.client.getBucket(place.bucket);
  if (error !== null) throw bucketFault(error);
  assertSettings(place.bucket, data);
}

/**
 * Returns when "no such object" can be believed: the server says so, too, to a key that it does not know or that may
 * not look, and that must not pass for "not uploaded yet" or "removed".
 */
export async function requireVisibleBucket(place: BucketPlace): Promise<void> {
  const { error } = await place.client.getBucket(place.bucket);
  if (error !== null) throw bucketFault(error);
}

function bucketFault(error: unknown): AppError {
  if (!saysNoSuchBucket(error)) return supabaseFault("look up its bucket", error);
  return new AppError({
    kind: "transient",
    code: "storage_bucket_missing",
    message: "Object storage has no such bucket, or shows it to other keys only.",
  });
}

function assertSettings(bucket: string, answer: unknown): void {
  const parsed = bucketSchema.safeParse(answer);
  if (!parsed.success) throw unavailable("look up its bucket", "unexpected answer");
  const { public: isPublic, file_size_limit, allowed_mime_types } = parsed.data;
  const types = [...(allowed_mime_types ?? [])].toSorted();
  const differing = [
    ...(isPublic ? ["public"] : []),
    ...(file_size_limit === SETTINGS.fileSizeLimit ? [] : ["file_size_limit"]),
    ...(types.join() === SETTINGS.allowedMimeTypes.toSorted().join() ? [] : ["allowed_mime_types"]),
  ];
  if (differing.length === 0) return;
  throw new AppError({
    kind: "internal",
    code: "storage_bucket_mismatch",
    message:
      `The bucket "${bucket}" must be private, with a size limit of ${SETTINGS.fileSizeLimit} bytes and the types ` +
      `${SETTINGS.allowedMimeTypes.join(", ")}. It differs in ${differing.join(" and ")}.`,
    details: { differing },
  });
}
