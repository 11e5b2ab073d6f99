import { readPageNumber } from "./page-number.ts";
import type { ParsedPage } from "./parsed-document.ts";

/** How many lines at a page's top and bottom can be running ones. */
const EDGE_LINES = 4;
const MIN_PAGES = 3;
/** Left and right pages have headers of their own, each on about half of the pages. */
const MIN_SHARE = 0.4;

/**
 * Removes headers and footers that repeat on most pages of a document of three pages or more. Page numbers that go up
 * with the pages go everywhere, other lines stay where they stand first: a policy number in every header is still part
 * of the text, once. A page that would be left without text stays as it is.
 */
export function removeRunningLines(pages: readonly ParsedPage[]): { pages: ParsedPage[]; removedTotal: number } {
  if (pages.length < MIN_PAGES) return { pages: [...pages], removedTotal: 0 };
  const linesByPage = pages.map((page) => page.text.split("\n"));
  const edgesByPage = pages.map((page, index) => edgesOf(linesByPage[index] ?? [], page.page_number));
  const needed = Math.max(MIN_PAGES, Math.ceil(pages.filter((page) => page.text.trim() !== "").length * MIN_SHARE));
  const isRunning = findRunning(edgesByPage, needed);
  const seen = new Set<string>();
  let removedTotal = 0;
  const cleaned = pages.map((page, index) => {
    const lines = linesByPage[index] ?? [];
    const drop = linesToDrop(edgesByPage[index] ?? [], { isRunning, seen });
    const kept = lines.filter((_, at) => !drop.has(at)).join("\n");
    if (!/[\p{L}\p{N}]/u.test(kept)) return page;
    removedTotal += drop.size;
    return { ...page, text: kept };
  });
  return { pages: cleaned, removedTotal };
}

/** What is compared with other pages: the line as it stands, or with its page number told relative to the page. */
interface Key {
  text: string;
  isPageNumber: boolean;
}

interface EdgeLine {
  index: number;
  keys: Key[];
}

/** The lines with text at one end of a page, from the outside in. */
type Edge = EdgeLine[];
type IsRunning = (key: Key) => boolean;

function edgesOf(lines: readonly string[], page: number): Edge[] {
  const filled = [...lines.keys()].filter((index) => lines[index]?.trim() !== "");
  const edgeOf = (name: string, indexes: number[]): Edge =>
    indexes.map((index) => ({
      index,
      keys: isTableOrFence(lines, index) ? [] : keysOf(lines[index] ?? "", { name, page }),
    }));
  return [edgeOf("top", filled.slice(0, EDGE_LINES)), edgeOf("bottom", filled.slice(-EDGE_LINES).toReversed())];
}

/** Rows are content wherever they repeat, and a fence that goes leaves its code open. */
function isTableOrFence(lines: readonly string[], index: number): boolean {
  const line = lines[index] ?? "";
  if (/^\s*(?:\||```|~~~)/.test(line)) return true;
  return line.includes("|") && [lines[index - 1], lines[index + 1]].some((next) => next?.includes("|"));
}

function keysOf(line: string, { name, page }: { name: string; page: number }): Key[] {
  const words = line
    .replace(/^#{1,6}\s+/, "")
    .replace(/\s+/g, " ")
    .trim()
    .toLowerCase();
  const asItStands = { text: `${name} ${words}`, isPageNumber: false };
  const numbered = readPageNumber(line);
  if (numbered === undefined) return [asItStands];
  const { number, rest, isAlone } = numbered;
  return [{ text: `${name} <page ${number - page}> ${rest}`, isPageNumber: isAlone }, asItStands];
}

/**
 * Which keys are on enough pages. The first round counts all lines near an edge, the next ones only those with nothing
 * but running lines between them and the edge: what stands behind other text is content.
 */
function findRunning(edgesByPage: readonly Edge[][], needed: number): IsRunning {
  let isRunning: IsRunning = isAny;
  for (let round = 0; round <= EDGE_LINES; round += 1) {
    const counts = new Map<string, number>();
    for (const edges of edgesByPage) {
      const keys = edges.flatMap((edge) => outerRun(edge, isRunning)).flatMap((line) => line.keys);
      for (const text of new Set(keys.map((key) => key.text))) counts.set(text, (counts.get(text) ?? 0) + 1);
    }
    isRunning = (key) => (counts.get(key.text) ?? 0) >= needed;
  }
  return isRunning;
}

function isAny(): boolean {
  return true;
}

function outerRun(edge: Edge, isRunning: IsRunning): Edge {
  const end = edge.findIndex((line) => !line.keys.some(isRunning));
  return end === -1 ? edge : edge.slice(0, end);
}

function linesToDrop(
  edges: readonly Edge[],
  { isRunning, seen }: { isRunning: IsRunning; seen: Set<string> },
): Set<number> {
  const drop = new Set<number>();
  const keysHere: string[] = [];
  for (const { index, keys } of edges.flatMap((edge) => outerRun(edge, isRunning))) {
    const key = keys.find(isRunning);
    if (key === undefined) continue;
    if (key.isPageNumber || seen.has(key.text)) drop.add(index);
    keysHere.push(key.text);
  }
  // A line that stands twice on one page is written twice.
  for (const key of keysHere) seen.add(key);
  return drop;
}
