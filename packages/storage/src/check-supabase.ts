import { randomBytes, randomUUID } from "node:crypto";
import { buffer } from "node:stream/consumers";
import { type BucketPlace, requireBucket } from "./supabase-bucket.ts";
import { type DownloadLimits, downloadObject } from "./supabase-download.ts";
import { supabaseFault, unavailable } from "./supabase-failure.ts";

/**
 * Looks at the bucket, then writes, reads and deletes a probe: a key that may only read, or may not see what it wrote,
 * fails at the step that gives it away. Errors: those of `requireBucket`, the message naming the step.
 *
 * A probe that a killed process leaves behind has a key of one UUID, which no document has.
 */
export async function checkSupabase(place: BucketPlace & DownloadLimits): Promise<void> {
  await requireBucket(place);
  const files = place.client.from(place.bucket);
  const key = randomUUID();
  const content = randomBytes(64);
  const written = await files.upload(key, content, { contentType: "text/plain" });
  if (written.error !== null) throw supabaseFault("write a probe", written.error);
  try {
    const stored = await readProbe(place, { key, bytes_len: content.byteLength });
    if (!stored.equals(content)) throw unavailable("read a probe", "other bytes than were written");
  } catch (error) {
    // Whether or not this works, the first fault is the one to report.
    await Promise.allSettled([files.remove([key])]);
    throw error;
  }
  const removed = await files.remove([key]);
  if (removed.error !== null) throw supabaseFault("delete a probe", removed.error);
  if (removed.data.length !== 1) throw unavailable("delete a probe", "it was passed over");
}

async function readProbe(
  place: BucketPlace & DownloadLimits,
  probe: { key: string; bytes_len: number },
): Promise<Buffer> {
  try {
    return await buffer(await downloadObject(place, { ...probe, signal: undefined }));
  } catch (error) {
    throw supabaseFault("read a probe", error);
  }
}
