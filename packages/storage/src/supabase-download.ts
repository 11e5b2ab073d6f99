import { addAbortSignal, PassThrough, pipeline, Readable } from "node:stream";
import { ReadableStream } from "node:stream/web";
import type { BucketPlace } from "./supabase-bucket.ts";
import { supabaseFault, unavailable } from "./supabase-failure.ts";

const DOING = "read an object";

export interface DownloadLimits {
  /** Until the answer begins. */
  timeoutMs: number;
  /** For each wait for more bytes; the whole may take longer. */
  stallMs: number;
}

/** Throws what the server answered as it came; the stream ends with `storage_unavailable` or the AbortError. */
export async function downloadObject(
  place: BucketPlace & DownloadLimits,
  object: { key: string; bytes_len: number; signal: AbortSignal | undefined },
): Promise<Readable> {
  const { key, bytes_len, signal } = object;
  const body = await openBody(place, { key, signal });
  const output = new PassThrough({
    destroy: (error, done) => {
      done(error === null || error.name === "AbortError" ? error : supabaseFault(DOING, error));
    },
  });
  if (signal !== undefined) addAbortSignal(signal, output);
  const measure = (source: Readable) => wholeBody(source, { bytes_len, stallMs: place.stallMs });
  // The error reaches the reader through `output`; this callback has nobody to tell.
  return pipeline(Readable.fromWeb(body), measure, output, () => {});
}

async function openBody(
  place: BucketPlace & DownloadLimits,
  object: { key: string; signal: AbortSignal | undefined },
): Promise<ReadableStream> {
  const { signal } = object;
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(unavailable(DOING, "no answer in time")), place.timeoutMs);
  try {
    const signals = signal === undefined ? [limit.signal] : [limit.signal, signal];
    const { data, error } = await place.client
      .from(place.bucket)
      .download(object.key, {}, { signal: AbortSignal.any(signals) })
      .asStream();
    signal?.throwIfAborted();
    limit.signal.throwIfAborted();
    if (error !== null) throw error;
    if (!(data instanceof ReadableStream)) throw unavailable(DOING, "no usable answer");
    return data;
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Passes on exactly the bytes that the server's own record promises. A body that ends early without a broken
 * connection, as behind some proxies, would otherwise pass for a shorter file.
 */
async function* wholeBody(
  source: Readable,
  limits: { bytes_len: number; stallMs: number },
): AsyncGenerator<Uint8Array> {
  const { bytes_len, stallMs } = limits;
  const chunks: AsyncIterator<unknown> = source[Symbol.asyncIterator]();
  let received = 0;
  for (;;) {
    const next = await nextWithin(chunks, { source, stallMs });
    if (next.done === true) break;
    if (!(next.value instanceof Uint8Array)) throw unavailable(DOING, "no usable answer");
    received += next.value.byteLength;
    if (received > bytes_len) break;
    yield next.value;
  }
  if (received !== bytes_len) throw unavailable(DOING, `${received} bytes of ${bytes_len}`);
}

/** Only waiting counts: a reader that is slow to take the last chunk is not a server that stalls. */
async function nextWithin(
  chunks: AsyncIterator<unknown>,
  { source, stallMs }: { source: Readable; stallMs: number },
): Promise<IteratorResult<unknown>> {
  const timer = setTimeout(() => source.destroy(unavailable(DOING, "it stalled")), stallMs);
  try {
    return await chunks.next();
  } finally {
    clearTimeout(timer);
  }
}
