import { once } from "node:events";
import { createInflate, inflateSync } from "node:zlib";
import type { ParseLimits } from "../parse-limits.ts";
import { checkInflation } from "../zip-archive.ts";

/** Streams up to this size are inflated in one call, which is thirty times quicker than a stream each. */
const SMALL_BYTES = 1024 * 1024;
/** How far before `stream` its dictionary may begin. */
const DICTIONARY_BYTES = 4096;

/**
 * Inflates every Flate stream of a PDF, throws the bytes away and counts them, before a parser is let at
 * the file: a 1.5 MB file that inflates to 525 MB of operators takes pdf.js 65 s and 2.8 GB. Pictures are
 * left out, for text extraction never decodes them. Streams that do not inflate (encrypted, broken) count
 * nothing; for those the process's own limits remain. Throws inflation_limit.
 */
export async function checkPdfInflation(
  bytes: Buffer,
  limits: Pick<ParseLimits, "maxInflatedBytes" | "maxInflationRatio">,
): Promise<void> {
  let inflated = 0;
  const count = (more: number): void => {
    inflated += more;
    checkInflation({ inflated, compressed: bytes.length, limits });
  };
  for (const { data, passes } of flateStreams(bytes)) {
    const first = await inflateCounted(data, count);
    // A second pass over a small result is how a bomb of a bomb is built.
    if (passes > 1 && first !== undefined) await inflateCounted(first, count);
  }
}

function* flateStreams(bytes: Buffer): Generator<{ data: Buffer; passes: number }> {
  for (const { keyword, start, end } of streamsOf(bytes)) {
    const dictionary = dictionaryBefore(bytes, keyword);
    const passes = dictionary.match(/\/(?:FlateDecode|Fl)\b/g)?.length ?? 0;
    if (passes > 0 && !/\/Subtype\s*\/Image\b/.test(dictionary)) yield { data: bytes.subarray(start, end), passes };
  }
}

function* streamsOf(bytes: Buffer): Generator<{ keyword: number; start: number; end: number }> {
  let at = 0;
  let hasEnds = true;
  for (;;) {
    const keyword = bytes.indexOf("stream", at, "latin1");
    if (keyword === -1) return;
    at = keyword + 6;
    const start = dataStart(bytes, at);
    if (start === undefined) continue;
    // Where none is left, every further stream would look for one through the whole rest.
    const end: number = hasEnds ? bytes.indexOf("endstream", start, "latin1") : -1;
    hasEnds = end !== -1;
    yield { keyword, start, end: hasEnds ? end : bytes.length };
    at = hasEnds ? end + 9 : start;
  }
}

/** Data begins after the line end that must follow the keyword; elsewhere the word is not a keyword. */
function dataStart(bytes: Buffer, at: number): number | undefined {
  if (bytes[at] === 0x0a) return at + 1;
  if (bytes[at] !== 0x0d) return undefined;
  return bytes[at + 1] === 0x0a ? at + 2 : at + 1;
}

function dictionaryBefore(bytes: Buffer, keyword: number): string {
  const window = bytes.toString("latin1", Math.max(0, keyword - DICTIONARY_BYTES), keyword);
  return window.slice(Math.max(0, window.lastIndexOf(" obj")));
}

/** The inflated bytes where they are few; undefined where they were only counted. */
async function inflateCounted(data: Buffer, count: (bytes: number) => void): Promise<Buffer | undefined> {
  const small = inflateSmall(data);
  if (small === "broken") return undefined;
  if (small === "large") {
    await inflateLarge(data, count);
    return undefined;
  }
  count(small.length);
  return small;
}

function inflateSmall(data: Buffer): Buffer | "large" | "broken" {
  try {
    // Z_SYNC_FLUSH: a stream that ends too early still gives what it has.
    return inflateSync(data, { maxOutputLength: SMALL_BYTES, finishFlush: 2 });
  } catch (error) {
    return error instanceof RangeError ? "large" : "broken";
  }
}

async function inflateLarge(data: Buffer, count: (bytes: number) => void): Promise<void> {
  const inflate = createInflate({ chunkSize: 256 * 1024, finishFlush: 2 });
  inflate.end(data);
  try {
    for await (const chunk of inflate) count(Buffer.isBuffer(chunk) ? chunk.length : 0);
  } catch (error) {
    // zlib's errors end the stream where the data is broken; what was counted counts.
    if (!(error instanceof Error && "errno" in error)) throw error;
  } finally {
    if (!inflate.closed) {
      inflate.destroy();
      await once(inflate, "close");
    }
  }
}
