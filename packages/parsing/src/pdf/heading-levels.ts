import { lineText } from "./line-text.ts";
import type { Line } from "./text-item.ts";

export interface HeadingLevels {
  /** 1 to 4 for a heading, 0 for anything else. */
  levelOf: (line: Line) => number;
}

/** Headings are larger than the body by at least this factor; smaller steps are captions and quotes. */
const LARGER = 1.12;
const MAX_HEADING_CHARS = 160;
const MAX_BOLD_CHARS = 90;

/**
 * Which lines of a document are headings. The body's size is the one most characters have; larger sizes
 * rank from `#` down to `###`, and bold lines of the body's size come one level below the last.
 */
export function rankHeadings(lines: readonly Line[]): HeadingLevels {
  const charsBySize = new Map<number, number>();
  let bold = 0;
  let total = 0;
  for (const line of lines) {
    const chars = lineText(line).length;
    charsBySize.set(roundSize(line.size), (charsBySize.get(roundSize(line.size)) ?? 0) + chars);
    total += chars;
    if (line.isBold) bold += chars;
  }
  const body = [...charsBySize].toSorted((a, b) => b[1] - a[1])[0]?.[0] ?? 0;
  const sizes = headingSizes(charsBySize, { body, total });
  const isBoldTelling = bold < total * 0.3;
  return {
    levelOf(line) {
      const rank = sizes.findIndex((size) => roundSize(line.size) >= size * 0.96);
      if (rank !== -1 && isTitleLike(line, MAX_HEADING_CHARS)) return Math.min(rank + 1, 3);
      const isBoldHeading =
        isBoldTelling && line.isBold && line.size >= body * 0.95 && isTitleLike(line, MAX_BOLD_CHARS);
      return isBoldHeading && !/[.,;]$/.test(lineText(line)) ? Math.min(sizes.length, 3) + 1 : 0;
    },
  };
}

/** Heading sizes, largest first; a size in which a fifth of the text is set is no heading's. */
function headingSizes(charsBySize: ReadonlyMap<number, number>, document: { body: number; total: number }): number[] {
  const larger = [...charsBySize]
    .filter(([size, chars]) => size >= document.body * LARGER && chars < document.total * 0.2)
    .map(([size]) => size)
    .toSorted((a, b) => b - a);
  const distinct: number[] = [];
  for (const size of larger) {
    const last = distinct.at(-1);
    // Sizes within 4 % are one size that was scaled.
    if (last === undefined || size < last * 0.96) distinct.push(size);
  }
  return distinct;
}

function isTitleLike(line: Line, maxChars: number): boolean {
  const text = lineText(line);
  if (text.length > maxChars || !isOneTitle(line)) return false;
  const letters = text.match(/\p{L}/gu)?.length ?? 0;
  const isIdeographic = /[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]/.test(text);
  return letters >= (isIdeographic ? 2 : 3) && letters >= text.length * 0.4;
}

/** One cell, or a number and a title with a tab between; anything else is a table's row. */
function isOneTitle(line: Line): boolean {
  const [first, second, third] = line.cells;
  if (second === undefined) return true;
  return third === undefined && first !== undefined && /^(?:[\dIVXivx.]{1,8}[.):]?|[A-Z][.):]?)$/.test(first.text);
}

function roundSize(size: number): number {
  return Math.round(size * 2) / 2;
}
