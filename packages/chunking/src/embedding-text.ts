import { codePointBoundary, countTokens } from "./count-tokens.ts";

/** text-embedding-3-* refuses more than 8,192 tokens; the reserve is for runs that `countTokens` counts by their parts. */
const MAX_EMBEDDING_TOKENS = 8_000;
/** UTF-16 code units, so at most 3,000 tokens: the passage, not its label, must decide the vector. */
const MAX_LABEL = 1_000;
/** Code units that are counted at a time while a text is shortened. */
const STEP = 1_000;

/**
 * What is embedded for a chunk: a line "title > heading > heading" and the text below. A title that only repeats the
 * first heading is left out. Always below 8,192 tokens, whatever is passed in; a text that does not fit loses its end.
 */
export function embeddingText(input: { title: string | null; section_path: readonly string[]; text: string }): string {
  const [heading] = input.section_path;
  const title = input.title?.trim() === heading ? null : input.title;
  const parts = [title ?? "", ...input.section_path].map((part) =>
    part.slice(0, MAX_LABEL).replaceAll(/\s+/gu, " ").trim(),
  );
  const whole = parts.filter((part) => part !== "").join(" > ");
  const label = whole.length <= MAX_LABEL ? whole : whole.slice(0, codePointBoundary(whole, MAX_LABEL));
  return shorten(label === "" ? input.text : `${label}\n${input.text}`, MAX_EMBEDDING_TOKENS);
}

function shorten(text: string, limit: number): string {
  // A token is at least one byte, so text of at most a third of the limit in code units fits for certain.
  if (text.length * 3 <= limit) return text;
  let used = 0;
  let end = 0;
  while (end < text.length && used <= limit) {
    const next = codePointBoundary(text, Math.min(end + STEP, text.length));
    used += countTokens(text.slice(end, next));
    end = next;
  }
  let kept = text.slice(0, end);
  while (countTokens(kept) > limit) kept = kept.slice(0, codePointBoundary(kept, Math.floor(kept.length * 0.95)));
  return kept;
}
