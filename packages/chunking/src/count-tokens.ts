import {
  clearMergeCache,
  countTokens as countWithLibrary,
  setMergeCacheSize,
} from "gpt-tokenizer/encoding/cl100k_base";

/** Above this many UTF-16 code units a run of one character class is cut before it is tokenised. */
const LONG_RUN = 1_000;
/**
 * Length of the parts of a cut run. Byte-pair merging is quadratic in the length of a run: 100,000 letters take
 * 3 to 10 s whole, and 1,000 letters take 2 ms whole but 1 ms in parts of 250.
 */
const RUN_PART = 250;
/** "<|endoftext|>" in a document is text that somebody wrote, never an instruction to the model. */
const NO_SPECIAL_TOKENS = { disallowedSpecial: new Set<string>() };

// The library's default of 100,000 entries can hold more than a gigabyte when a file consists of long unique runs.
setMergeCacheSize(10_000);

/**
 * The number of cl100k_base tokens in `text`, the encoding of text-embedding-3-*. Exact unless the text holds a run of
 * more than 1,000 letters, of other visible characters or of white space; such a run counts as its parts of 250, a
 * little more than the exact number. Never throws; the time is linear in the length.
 */
export function countTokens(text: string): number {
  if (text.length <= LONG_RUN) return countWithLibrary(text, NO_SPECIAL_TOKENS);
  let total = 0;
  let done = 0;
  for (const run of longRuns(text)) {
    total += countWithLibrary(text.slice(done, run.start), NO_SPECIAL_TOKENS);
    for (let at = run.start; at < run.end;) {
      const next = codePointBoundary(text, Math.min(at + RUN_PART, run.end));
      total += countWithLibrary(text.slice(at, next), NO_SPECIAL_TOKENS);
      at = next;
    }
    done = run.end;
  }
  return total + countWithLibrary(text.slice(done), NO_SPECIAL_TOKENS);
}

/**
 * Forgets the tokeniser's cached merges. Its keys are slices that keep the whole document alive, so the text of a
 * finished document would stay in memory until other documents have pushed it out.
 */
export function forgetTokens(): void {
  clearMergeCache();
}

/** `at`, or the next offset when `at` lies inside a surrogate pair. */
export function codePointBoundary(text: string, at: number): number {
  const isInsidePair = isHighSurrogate(text.charCodeAt(at - 1)) && isLowSurrogate(text.charCodeAt(at));
  return isInsidePair ? at + 1 : at;
}

/** Runs are put together from parts: the stack of an expression overflows on a run of five million characters. */
function* longRuns(text: string): Generator<{ start: number; end: number }> {
  const part = /\p{L}{1,1000}|\s{1,1000}|[^\p{L}\s]{1,1000}/gu;
  let start = 0;
  let end = 0;
  while (part.test(text)) {
    const goesOn = end - start >= LONG_RUN && classAt(text, start) === classAt(text, end);
    if (!goesOn) {
      if (end - start > LONG_RUN) yield { start, end };
      start = end;
    }
    end = part.lastIndex;
  }
  if (end - start > LONG_RUN) yield { start, end };
}

function classAt(text: string, at: number): "letter" | "space" | "other" {
  const character = String.fromCodePoint(text.codePointAt(at) ?? 0);
  if (/\p{L}/u.test(character)) return "letter";
  return /\s/u.test(character) ? "space" : "other";
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd8_00 && unit <= 0xdb_ff;
}

function isLowSurrogate(unit: number): boolean {
  return unit >= 0xdc_00 && unit <= 0xdf_ff;
}
