/** One page of a parsed document; formats without pages have one. */
export interface Page {
  page_number: number;
  text: string;
}

/** From `start` up to but not including `end`, in UTF-16 code units of `documentContent`. */
export interface Range {
  start: number;
  end: number;
}

const PAGE_SEPARATOR = "\n\n";

/** The text that every character offset counts in: the pages' texts with an empty line between them. */
export function documentContent(pages: readonly Page[]): string {
  return pages.map((page) => page.text).join(PAGE_SEPARATOR);
}

/** Where each page's text lies in `documentContent`, in the order of the pages. */
export function pageRanges(pages: readonly Page[]): Range[] {
  let start = 0;
  return pages.map((page) => {
    const range = { start, end: start + page.text.length };
    start = range.end + PAGE_SEPARATOR.length;
    return range;
  });
}

/** Index of the page that holds the character at `offset`: the last one that starts at or before it. */
export function findPageIndex(ranges: readonly Range[], offset: number): number {
  let low = 0;
  let high = ranges.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if ((ranges[middle]?.start ?? 0) <= offset) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** `range` without white space at either end; empty (start = end) when there is nothing else. */
export function trimRange(content: string, range: Range): Range {
  let { start, end } = range;
  while (start < end && isSpace(content, start)) start += 1;
  while (end > start && isSpace(content, end - 1)) end -= 1;
  return { start, end };
}

function isSpace(content: string, at: number): boolean {
  const unit = content.charCodeAt(at);
  if (unit < 0x80) return unit === 0x20 || (unit >= 0x09 && unit <= 0x0d);
  return /\s/u.test(content.charAt(at));
}
