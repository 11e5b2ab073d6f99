import type { KeyObject } from "node:crypto";
import { AppError } from "@pipeline/runtime";
import { z } from "zod";
import { isObjectKey } from "./object-key.ts";
import type { SignDownloadOptions } from "./object-store.ts";
import { signToken, verifyToken } from "./link-token.ts";
import { UPLOAD_BUCKET } from "./upload-link.ts";

/** The route that serves the download links of the disk store; the same path that Supabase Storage uses. */
export const DOWNLOAD_ROUTE = "/storage/v1/object/sign/:bucket/*";

const downloadClaims = z.object({
  url: z.string(),
  scope: z.literal("download"),
  filename: z.string(),
  // It goes out as a header: this shape has no room for a line break.
  mime: z.string().regex(/^[a-z0-9][\w!#$&^.+-]{0,126}\/[a-z0-9][\w!#$&^.+-]{0,126}$/iu),
});
export type DownloadPromise = Pick<z.infer<typeof downloadClaims>, "filename" | "mime">;

export function signDownloadLink(
  input: SignDownloadOptions & { key: string },
  signer: { publicUrl: string; secret: KeyObject },
): string {
  const { key, filename, mime, expiresInSeconds } = input;
  const url = `${UPLOAD_BUCKET}/${key}`;
  const claims = { url, filename, mime, scope: "download" };
  const token = signToken(claims, { key: signer.secret, seconds: expiresInSeconds });
  const base = signer.publicUrl.replace(/\/+$/u, "");
  return `${base}${DOWNLOAD_ROUTE.replace(":bucket/*", url)}?token=${token}`;
}

/**
 * What the link promised, for exactly this bucket and path. Errors: unauthorized `download_link_expired` (only for a link
 * that was once good) and `download_link_invalid`.
 */
export async function verifyDownloadLink(
  link: { bucket: string; path: string; token: string },
  secret: KeyObject,
): Promise<DownloadPromise> {
  const claims = downloadClaims.safeParse(
    await verifyToken(link.token, secret, { expired: expiredLink, invalid: invalidLink }),
  );
  const isForPath = claims.success && claims.data.url === `${link.bucket}/${link.path}` && isObjectKey(link.path);
  if (!isForPath) throw invalidLink();
  return { filename: claims.data.filename, mime: claims.data.mime };
}

function expiredLink(cause: unknown): AppError {
  const message = "This download link has expired; ask for a new one.";
  return new AppError({ kind: "unauthorized", code: "download_link_expired", message, cause });
}

function invalidLink(cause?: unknown): AppError {
  const message = "This download link is not valid for this path.";
  return new AppError({ kind: "unauthorized", code: "download_link_invalid", message, cause });
}
