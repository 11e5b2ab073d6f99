import { createSecretKey, type KeyObject } from "node:crypto";
import { AppError } from "@pipeline/runtime";
import { z } from "zod";
import { mediaType } from "./media-type.ts";
import { isObjectKey, requireObjectKey } from "./object-key.ts";
import type { ResumableOffer, SignedUpload, SignUploadInput } from "./object-store.ts";
import { signToken, verifyToken } from "./link-token.ts";

/** The route that serves the links of the disk store; the same path that Supabase Storage uses. */
export const UPLOAD_ROUTE = "/storage/v1/object/upload/sign/:bucket/*";

/** Where resumable uploads with the token of such a link begin; likewise. */
export const RESUMABLE_ROUTE = "/storage/v1/upload/resumable/sign";

/** The header that carries the token there; likewise. */
export const RESUMABLE_TOKEN_HEADER = "x-signature";

/** Hosted Supabase takes pieces of no other length; the disk store takes any. */
const RESUMABLE_CHUNK_BYTES = 6 * 1024 * 1024;

/** The name that the disk store has for its only bucket, and the Supabase store for the one it uses by default. */
export const UPLOAD_BUCKET = "uploads";

/** What the link's owner said would come. */
export interface UploadPromise {
  bytes_len: number;
  mime: string;
}

/** RFC 7518 section 3.2: an HS256 key has at least 256 bits. */
const MINIMUM_SECRET_BYTES = 32;

const uploadPromise = z.object({
  bytes_len: z.int().nonnegative(),
  // The type goes out as a header: this shape has no room for a line break. RFC 6838 section 4.2 limits the names.
  mime: z.string().regex(/^[a-z0-9][\w!#$&^.+-]{0,126}\/[a-z0-9][\w!#$&^.+-]{0,126}(?: *;[ -~]{0,200})?$/iu),
});

const uploadClaims = uploadPromise.extend({ url: z.string(), scope: z.literal("upload") });

const linkInput = uploadPromise.extend({ expiresInSeconds: z.int().positive() });

export function encodeUploadSecret(secret: string): KeyObject {
  const key = createSecretKey(secret, "utf8");
  if ((key.symmetricKeySize ?? 0) >= MINIMUM_SECRET_BYTES) return key;
  throw new AppError({
    kind: "internal",
    code: "upload_secret_too_short",
    message: `The secret that signs upload links needs at least ${MINIMUM_SECRET_BYTES} bytes.`,
  });
}

export async function signUploadLink(
  input: SignUploadInput,
  signer: { publicUrl: string; secret: KeyObject },
): Promise<SignedUpload> {
  const { bytes_len, mime, expiresInSeconds } = requireUploadInput(input);
  const url = `${UPLOAD_BUCKET}/${input.key}`;
  const claims = { url, bytes_len, mime, scope: "upload" };
  const token = signToken(claims, { key: signer.secret, seconds: expiresInSeconds });
  const base = signer.publicUrl.replace(/\/+$/u, "");
  return {
    url: `${base}${UPLOAD_ROUTE.replace(":bucket/*", url)}?token=${token}`,
    method: "PUT",
    headers: { "content-type": mime },
    bucket: UPLOAD_BUCKET,
    path: input.key,
    token,
    resumable: offerResumable({ base, bucket: UPLOAD_BUCKET, key: input.key, mime, token }),
  };
}

/** `base` is the address that RESUMABLE_ROUTE stands behind. */
export function offerResumable(upload: {
  base: string;
  bucket: string;
  key: string;
  mime: string;
  token: string;
}): ResumableOffer {
  const { base, bucket, key, mime, token } = upload;
  return {
    url: `${base}${RESUMABLE_ROUTE}`,
    headers: { [RESUMABLE_TOKEN_HEADER]: token },
    metadata: { bucketName: bucket, objectName: key, contentType: mediaType(mime) },
    chunk_bytes: RESUMABLE_CHUNK_BYTES,
  };
}

/** Errors: invalid `invalid_object_key` and `invalid_upload_promise`. */
export function requireUploadInput(input: SignUploadInput): UploadPromise & { expiresInSeconds: number } {
  requireObjectKey(input.key);
  const parsed = linkInput.safeParse(input);
  if (!parsed.success) throw invalidPromise(parsed.error);
  return parsed.data;
}

/**
 * What the link promised, for exactly this bucket and path. Errors: unauthorized `upload_link_expired` (only for a
 * link that was once good) and `upload_link_invalid`.
 */
export async function verifyUploadLink(
  link: { bucket: string; path: string; token: string },
  secret: KeyObject,
): Promise<UploadPromise> {
  const payload = await verifyToken(link.token, secret, { expired: expiredLink, invalid: invalidLink });
  const claims = uploadClaims.safeParse(payload);
  const isForPath = claims.success && claims.data.url === `${link.bucket}/${link.path}` && isObjectKey(link.path);
  if (!isForPath) throw invalidLink();
  return { bytes_len: claims.data.bytes_len, mime: claims.data.mime };
}

function expiredLink(cause: unknown): AppError {
  return new AppError({
    kind: "unauthorized",
    code: "upload_link_expired",
    message: "This upload link has expired; ask for a new one.",
    cause,
  });
}

function invalidLink(cause?: unknown): AppError {
  return new AppError({
    kind: "unauthorized",
    code: "upload_link_invalid",
    message: "This upload link is not valid for this path.",
    cause,
  });
}

function invalidPromise(cause: unknown): AppError {
  return new AppError({
    kind: "invalid",
    code: "invalid_upload_promise",
    message: "An upload needs its length in bytes, a media type and a lifetime in whole seconds.",
    cause,
  });
}
