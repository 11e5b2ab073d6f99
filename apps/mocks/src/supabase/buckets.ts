import { createHash, randomUUID } from "node:crypto";
import { refuse } from "./refusals.ts";

export interface Bucket {
  id: string;
  public: boolean;
  file_size_limit: number | null;
  allowed_mime_types: string[] | null;
  created_at: string;
  objects: Map<string, StoredObject>;
}

export interface StoredObject {
  id: string;
  /** Another one for each upload under the same key. */
  version: string;
  bytes: Buffer;
  content_type: string;
  cache_control: string;
  etag: string;
  created_at: string;
  updated_at: string;
}

export interface NewObject {
  bytes: Buffer;
  content_type: string;
  cache_control: string;
}

/** What the service takes as a key; it signs links for others too, and then refuses the upload. */
const VALID_KEY = /^[A-Za-z0-9_/!.*'() &$=@;:+,?-]+$/u;

export function getBucket(buckets: Map<string, Bucket>, id: string): Bucket {
  const bucket = buckets.get(id);
  if (bucket === undefined) throw refuse.noSuchBucket();
  return bucket;
}

export function getObject(bucket: Bucket, key: string): StoredObject {
  const object = bucket.objects.get(key);
  if (object === undefined) throw refuse.noSuchKey();
  return object;
}

/**
 * Whatever is under the key already is replaced, whether or not the upload may do so: that is looked at before the
 * body arrives, so that of several uploads side by side all succeed and the last one stays.
 */
export function putObject(bucket: Bucket, key: string, object: NewObject): StoredObject {
  const now = new Date().toISOString();
  const replaced = bucket.objects.get(key);
  const stored = {
    ...object,
    id: replaced?.id ?? randomUUID(),
    version: randomUUID(),
    etag: `"${createHash("md5").update(object.bytes).digest("hex")}"`,
    created_at: replaced?.created_at ?? now,
    updated_at: now,
  };
  bucket.objects.set(key, stored);
  return stored;
}

export function requireValidKey(key: string): void {
  if (!VALID_KEY.test(key)) throw refuse.invalidKey(key);
}

/** The declared string as it is: `text/plain;charset=UTF-8` is not `text/plain`. */
export function requireAllowedType(bucket: Bucket, type: string): void {
  const allowed = bucket.allowed_mime_types ?? [];
  if (allowed.length === 0) return;
  const [family] = type.split("/", 1);
  if (!allowed.some((one) => one === type || one === `${family}/*`)) throw refuse.mimeType(type);
}
