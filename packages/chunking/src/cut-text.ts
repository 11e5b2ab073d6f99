import { codePointBoundary, countTokens } from "./count-tokens.ts";
import { trimRange } from "./document-content.ts";
import type { Range } from "./document-content.ts";

/** A range and its number of tokens on its own. */
export interface Piece extends Range {
  tokens: number;
}

/**
 * Sentences shorter than this (UTF-16 code units) go together with the next one: the segmenter ends a sentence after
 * "Dr." and "1.", and a file of full stops must not become a million pieces.
 */
const MIN_SENTENCE = 40;
/** A BMP character is at most three bytes of UTF-8 and a token at least one byte; a pair of surrogates is four bytes. */
const MAX_TOKENS_PER_CODE_UNIT = 3;

/** Prose has 2 to 5 code units per token; counting far more than that only to find that it does not fit is waste. */
const HOPELESS_LENGTH_PER_TOKEN = 12;

// The locale is fixed: the machine's own must not change where a document is cut.
const sentences = new Intl.Segmenter("en", { granularity: "sentence" });
const words = new Intl.Segmenter("en", { granularity: "word" });

/** The sentences in `range`, trimmed; one with more than `limit` tokens is cut between lines, words, or anywhere. */
export function cutSentences(content: string, range: Range, limit: number): Piece[] {
  const pieces: Piece[] = [];
  if (range.end - range.start < MIN_SENTENCE) {
    pushPieces(pieces, content, { ...range, limit });
    return pieces;
  }
  const text = content.slice(range.start, range.end);
  let start = range.start;
  let end = range.start;
  // A line break inside of a paragraph does not end a sentence, but the segmenter takes it for the end of one.
  for (const { segment } of sentences.segment(text.replaceAll(/[\n\r\u0085\u2028\u2029]/gu, " "))) {
    end += segment.length;
    if (end - start < MIN_SENTENCE && end < range.end) continue;
    pushPieces(pieces, content, { start, end, limit });
    start = end;
  }
  return pieces;
}

/** The lines in `range`, short ones together; one with more than `limit` tokens is cut between words, or anywhere. */
export function cutLines(content: string, range: Range, limit: number): Piece[] {
  const pieces: Piece[] = [];
  let { start } = range;
  while (start < range.end) {
    const lineBreak = content.indexOf("\n", Math.min(start + MIN_SENTENCE, range.end));
    const end = lineBreak === -1 ? range.end : Math.min(lineBreak + 1, range.end);
    pushPieces(pieces, content, { start, end, limit });
    start = end;
  }
  return pieces;
}

/** `range` trimmed and counted; undefined when it holds white space only. */
export function measure(content: string, range: Range): Piece | undefined {
  const { start, end } = trimRange(content, range);
  return start === end ? undefined : { start, end, tokens: countTokens(content.slice(start, end)) };
}

function pushPieces(pieces: Piece[], content: string, input: Range & { limit: number }): void {
  if (input.end - input.start > input.limit * HOPELESS_LENGTH_PER_TOKEN) {
    for (const piece of cutWords(content, input, input.limit)) pieces.push(piece);
    return;
  }
  const whole = measure(content, input);
  if (whole === undefined) return;
  if (whole.tokens <= input.limit) pieces.push(whole);
  else for (const piece of cutWords(content, whole, input.limit)) pieces.push(piece);
}

/** Small pieces that fit whatever they hold; packing puts as many together as fit. */
function* cutWords(content: string, range: Range, limit: number): Generator<Piece> {
  const size = Math.max(2, Math.floor(limit / MAX_TOKENS_PER_CODE_UNIT));
  let { start } = range;
  while (start < range.end) {
    const end = start + size >= range.end ? range.end : findCut(content, start, size);
    const piece = measure(content, { start, end });
    if (piece !== undefined) yield piece;
    start = end;
  }
}

/** The best place to cut at most `size` code units after `start`: a line's end, a space, a word's end, a character's end. */
function findCut(content: string, start: number, size: number): number {
  const window = content.slice(start, start + size);
  const line = window.lastIndexOf("\n") + 1;
  if (line > size / 2) return start + line;
  const space = /\s\S*$/u.exec(window)?.index ?? -1;
  if (space > 0) return start + space + 1;
  const reach = content.slice(start, start + size + 1);
  let cut = 0;
  for (const { index } of words.segment(reach)) cut = index;
  if (cut > 0) return start + cut;
  const boundary = codePointBoundary(content, start + size);
  return boundary > start + size ? boundary - 2 : boundary;
}
