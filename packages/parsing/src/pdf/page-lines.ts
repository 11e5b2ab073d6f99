import type { Cell, Line, TextItem } from "./text-item.ts";

/** In font sizes: a word's gap is about 0.25, a justified line's rarely above 1. */
const WORD_GAP = 0.15;
const CELL_GAP = 1;
/** How many items back a text may have been drawn already. */
const OVERPRINTS = 8;
const CJK_END = /[\u3000-\u9fff\uac00-\ud7af\uff00-\uffef]$/;
const CJK_START = /^[\u3000-\u9fff\uac00-\ud7af\uff00-\uffef]/;

/** A cell whose items still come in, from left to right. Joined once: a text that grows item by item is copied with each. */
interface OpenCell extends Omit<Cell, "text"> {
  parts: string[];
}

/** Items of one reading direction as lines from top to bottom, each cut into cells at wide gaps. */
export function buildLines(items: readonly TextItem[]): Line[] {
  const edges = edgesOf(items);
  return groupRows(items).flatMap((row) => {
    const line = buildLine(row, edges);
    return line === undefined ? [] : [line];
  });
}

/** Items whose baselines are nearly one; a raised figure or index belongs to the line it stands at. */
function groupRows(items: readonly TextItem[]): TextItem[][] {
  const rows: { y: number; size: number; items: TextItem[] }[] = [];
  for (const item of items.toSorted((a, b) => a.y - b.y)) {
    const row = rows.at(-1);
    if (row !== undefined && item.y - row.y <= 0.35 * Math.max(item.size, row.size)) {
      row.items.push(item);
      // The largest text decides where the line is, not the index above it.
      if (item.size > row.size) Object.assign(row, { y: item.y, size: item.size });
    } else {
      rows.push({ y: item.y, size: item.size, items: [item] });
    }
  }
  return rows.map((row) => row.items);
}

function buildLine(row: readonly TextItem[], column: Line["column"]): Line | undefined {
  const printed = row.filter((item) => item.text.trim() !== "");
  if (printed.length === 0) return undefined;
  const isRightToLeft = charsOf(printed.filter((item) => item.isRightToLeft)) * 2 > charsOf(printed);
  const cells = buildCells(
    row.toSorted((a, b) => a.x - b.x),
    isRightToLeft,
  );
  const main = largestShare(printed);
  return {
    cells: isRightToLeft ? cells.toReversed() : cells,
    x: Math.min(...cells.map((cell) => cell.x)),
    right: Math.max(...cells.map((cell) => cell.right)),
    y: main.y,
    size: main.size,
    isBold: charsOf(printed.filter((item) => item.isBold)) >= charsOf(printed) * 0.9,
    column,
  };
}

function buildCells(row: readonly TextItem[], isRightToLeft: boolean): Cell[] {
  const cells: OpenCell[] = [];
  const recent: TextItem[] = [];
  let isSpaced = false;
  for (const item of row) {
    if (item.text.trim() === "") {
      isSpaced = true;
      continue;
    }
    if (recent.some((other) => isOverprint(other, item))) continue;
    addToCells(cells, { item, isSpaced: isSpaced || /\s/.test(recent.at(-1)?.text.at(-1) ?? "") });
    recent.push(item);
    if (recent.length > OVERPRINTS) recent.shift();
    isSpaced = false;
  }
  return cells.map(({ parts, x, right }) => ({
    text: (isRightToLeft ? parts.toReversed() : parts).join(""),
    x,
    right,
  }));
}

function addToCells(cells: OpenCell[], input: { item: TextItem; isSpaced: boolean }): void {
  const { item, isSpaced } = input;
  const cell = cells.at(-1);
  const text = item.text.trim();
  const gap = cell === undefined ? 0 : (item.x - cell.right) / Math.max(item.size, 1);
  if (cell === undefined || gap > CELL_GAP) {
    cells.push({ parts: [text], x: item.x, right: item.x + item.width });
    return;
  }
  const glue = needsSpace({ before: cell.parts.at(-1) ?? "", after: item.text, gap, isSpaced }) ? " " : "";
  cell.parts.push(glue, text);
  cell.right = Math.max(cell.right, item.x + item.width);
}

/** Text drawn twice with a small shift, which is how some programs make it bold. */
function isOverprint(last: TextItem, item: TextItem): boolean {
  return (
    last.text === item.text &&
    Math.abs(last.x - item.x) < 0.2 * item.size &&
    Math.abs(last.y - item.y) < 0.2 * item.size
  );
}

function needsSpace(input: { before: string; after: string; gap: number; isSpaced: boolean }): boolean {
  const { before, after, gap, isSpaced } = input;
  if (/^\s/.test(after)) return true;
  if (CJK_END.test(before.slice(-1)) && CJK_START.test(after)) return gap > 0.5;
  return isSpaced || gap > WORD_GAP;
}

function largestShare(items: readonly TextItem[]): { y: number; size: number } {
  const shares = new Map<number, number>();
  for (const item of items) shares.set(item.size, (shares.get(item.size) ?? 0) + item.text.length);
  const [first] = [...shares].toSorted((a, b) => b[1] - a[1]);
  const size = first?.[0] ?? 1;
  const y = items.find((item) => item.size === size)?.y ?? 0;
  return { y, size };
}

function charsOf(items: readonly TextItem[]): number {
  return items.reduce((total, item) => total + item.text.trim().length, 0);
}

function edgesOf(items: readonly TextItem[]): Line["column"] {
  let left = Number.POSITIVE_INFINITY;
  let right = Number.NEGATIVE_INFINITY;
  for (const item of items) {
    left = Math.min(left, item.x);
    right = Math.max(right, item.x + item.width);
  }
  return { left, right };
}
