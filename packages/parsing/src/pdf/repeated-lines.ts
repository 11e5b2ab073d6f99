import { lineText } from "./line-text.ts";
import type { Line } from "./text-item.ts";

/** How many lines at a page's top and bottom can be a running header or footer. */
const EDGE_LINES = 4;

/**
 * Tells lines that stand at the same height on at least three and two fifths of the pages (left and right
 * pages may differ), numbers aside. They are only set apart here; normalisePages decides about removal.
 */
export function findRepeatedLines(pages: readonly (readonly Line[])[]): (line: Line) => boolean {
  const counts = new Map<string, number>();
  for (const lines of pages) {
    for (const key of new Set(edgeLines(lines).map(keyOf))) counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const needed = Math.max(3, Math.ceil(pages.length * 0.4));
  const isKnown = (line: Line): boolean => (counts.get(keyOf(line)) ?? 0) >= needed;
  const repeated = new Set<Line>();
  for (const lines of pages) {
    const byHeight = lines.toSorted((a, b) => a.y - b.y);
    for (const line of outerRun(byHeight, isKnown)) repeated.add(line);
    for (const line of outerRun(byHeight.toReversed(), isKnown)) repeated.add(line);
  }
  return (line) => repeated.has(line);
}

/** Running lines form the outer edge: what stands behind the first other line is content. */
function outerRun(lines: readonly Line[], isKnown: (line: Line) => boolean): Line[] {
  const edge = lines.slice(0, EDGE_LINES);
  const end = edge.findIndex((line) => !isKnown(line));
  return end === -1 ? edge : edge.slice(0, end);
}

function edgeLines(lines: readonly Line[]): Line[] {
  const byHeight = lines.toSorted((a, b) => a.y - b.y);
  return byHeight.length <= 2 * EDGE_LINES
    ? byHeight
    : [...byHeight.slice(0, EDGE_LINES), ...byHeight.slice(-EDGE_LINES)];
}

function keyOf(line: Line): string {
  return `${Math.round(line.y / 3)} ${lineText(line).replace(/\d+/g, "#")}`;
}
