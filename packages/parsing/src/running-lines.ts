import type { ParsedPage } from "./parsed-document.ts";

/** How many lines at a page's top and bottom can be running ones. */
const EDGE_LINES = 4;
const MIN_PAGES = 3;
/** Left and right pages have headers of their own, each on about half of the pages. */
const MIN_SHARE = 0.4;
/** Each number takes a key as long as its line. In longer lines, and those with more numbers, none is the page's. */
const LONGEST_NUMBERED_LINE = 300;
const MOST_NUMBERS = 20;

/**
 * Removes headers and footers that repeat on most pages of a document of three pages or more. A number
 * counts as equal where it goes up with the pages ("Page 3 of 9"). What names no page stays where it
 * stands first: a policy number in every header is still part of the text, once.
 */
export function removeRunningLines(pages: readonly ParsedPage[]): { pages: ParsedPage[]; removedTotal: number } {
  if (pages.length < MIN_PAGES) return { pages: [...pages], removedTotal: 0 };
  const counts = countKeys(pages);
  const needed = Math.max(MIN_PAGES, Math.ceil(pages.filter((page) => page.text.trim() !== "").length * MIN_SHARE));
  const seen = new Set<string>();
  let removedTotal = 0;
  const cleaned = pages.map((page) => {
    const lines = page.text.split("\n");
    const drop = new Set<number>();
    for (const { indexes, edge } of edgesOf(lines)) {
      for (const index of indexes) {
        const key = keysOf(lines[index] ?? "", { page: page.page_number, edge }).find(
          (each) => (counts.get(each) ?? 0) >= needed,
        );
        // Running lines form the outer edge: what stands behind the first other line is content.
        if (key === undefined) break;
        if (isPageNumber(key) || seen.has(key)) drop.add(index);
        seen.add(key);
      }
    }
    removedTotal += drop.size;
    return { ...page, text: lines.filter((_, index) => !drop.has(index)).join("\n") };
  });
  return { pages: cleaned, removedTotal };
}

type Edge = "top" | "bottom";

function countKeys(pages: readonly ParsedPage[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const page of pages) {
    const lines = page.text.split("\n");
    const keys = edgesOf(lines).flatMap(({ indexes, edge }) =>
      indexes.flatMap((index) => keysOf(lines[index] ?? "", { page: page.page_number, edge })),
    );
    for (const key of new Set(keys)) counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}

/** The indexes of the first and last lines with text, from the outside in. */
function edgesOf(lines: readonly string[]): { edge: Edge; indexes: number[] }[] {
  const filled = [...lines.keys()].filter((index) => lines[index]?.trim() !== "");
  return [
    { edge: "top", indexes: filled.slice(0, EDGE_LINES) },
    { edge: "bottom", indexes: filled.slice(-EDGE_LINES).toReversed() },
  ];
}

/** The line as it stands, and once for each number in it with that number told relative to the page. */
function keysOf(line: string, place: { page: number; edge: Edge }): string[] {
  const text = line
    .replace(/^#{1,6}\s+/, "")
    .replace(/\s+/g, " ")
    .trim()
    .toLowerCase();
  const numbers = text.length > LONGEST_NUMBERED_LINE ? [] : [...text.matchAll(/\d{1,5}/g)];
  if (numbers.length > MOST_NUMBERS) return [`${place.edge} ${text}`];
  const relative = numbers.map((match) => {
    const offset = Number(match[0]) - place.page;
    return `${place.edge} ${text.slice(0, match.index)}<page ${offset}>${text.slice(match.index + match[0].length)}`;
  });
  return [...relative, `${place.edge} ${text}`];
}

function isPageNumber(key: string): boolean {
  return /<page -?\d+>/.test(key);
}
