import { buildLines } from "./page-lines.ts";
import type { Line, TextItem } from "./text-item.ts";

/** Columns of prose hold at least so many lines; anything shorter may as well be a table. */
const MIN_COLUMN_LINES = 4;
/** Past this a page is a drawing or a map: it has no columns worth the search. */
const MAX_ITEMS = 20_000;
const MAX_DEPTH = 3;

/**
 * Lines of a page in reading order. Where text stands in columns, a column is read to its end before the
 * next; a line that spans the columns ends what is above it. Tables keep their rows.
 */
export function readingOrder(items: readonly TextItem[], depth = 0): Line[] {
  const lines = buildLines(items);
  if (depth >= MAX_DEPTH || items.length > MAX_ITEMS) return lines;
  const gutter = findGutter(lines);
  if (gutter === undefined) return lines;
  return bandsOf(items, gutter).flatMap((band) => readBand({ band, gutter, depth }));
}

interface Band {
  left: TextItem[];
  right: TextItem[];
  /** Items of lines that span the gutter. */
  across: TextItem[];
}

function readBand(input: { band: Band; gutter: number; depth: number }): Line[] {
  const { band, depth } = input;
  if (band.across.length > 0) return buildLines(band.across);
  if (isColumnPair(buildLines(band.left), buildLines(band.right))) {
    return [...readingOrder(band.left, depth + 1), ...readingOrder(band.right, depth + 1)];
  }
  return buildLines([...band.left, ...band.right]);
}

/** The x that the fewest cells cross, with enough text on both sides; undefined where a page has one column. */
function findGutter(lines: readonly Line[]): number | undefined {
  const cells = lines.flatMap((line) => line.cells);
  if (cells.length < 2 * MIN_COLUMN_LINES) return undefined;
  const left = Math.min(...lines.map((line) => line.x));
  const width = Math.max(...lines.map((line) => line.right)) - left;
  const step = Math.max(1, width / 200);
  let best: { crossing: number; x: number; end: number } | undefined;
  for (let x = left + width * 0.15; x < left + width * 0.85; x += step) {
    const crossing = crossingAt(cells, x);
    if (crossing === undefined) continue;
    if (best === undefined || crossing < best.crossing) best = { crossing, x, end: x };
    // The gutter's middle is the safest cut, so equal neighbours are one gutter.
    else if (crossing === best.crossing && x - best.end <= step * 1.01) best.end = x;
  }
  return best === undefined ? undefined : (best.x + best.end) / 2;
}

/** How many cells stand across x; undefined where x is no gutter: too many do, or one side is nearly empty. */
function crossingAt(cells: readonly Line["cells"][number][], x: number): number | undefined {
  let before = 0;
  let after = 0;
  for (const cell of cells) {
    if (cell.right <= x) before += 1;
    else if (cell.x >= x) after += 1;
  }
  const crossing = cells.length - before - after;
  const isGutter = before >= MIN_COLUMN_LINES && after >= MIN_COLUMN_LINES && crossing <= cells.length * 0.4;
  return isGutter ? crossing : undefined;
}

/** Cuts the page at every line that spans the gutter. */
function bandsOf(items: readonly TextItem[], gutter: number): Band[] {
  const bands: Band[] = [];
  for (const line of rowsWithItems(items)) {
    const isAcross = line.cells.some((cell) => cell.x < gutter && cell.right > gutter);
    let band = bands.at(-1);
    if (band === undefined || band.across.length > 0 !== isAcross) {
      band = { left: [], right: [], across: [] };
      bands.push(band);
    }
    for (const item of line.items) {
      if (isAcross) band.across.push(item);
      else if (item.x < gutter) band.left.push(item);
      else band.right.push(item);
    }
  }
  return bands;
}

function rowsWithItems(items: readonly TextItem[]): { cells: Line["cells"]; items: TextItem[] }[] {
  const rows: { y: number; size: number; items: TextItem[] }[] = [];
  for (const item of items.toSorted((a, b) => a.y - b.y)) {
    const row = rows.at(-1);
    if (row !== undefined && item.y - row.y <= 0.35 * Math.max(item.size, row.size)) row.items.push(item);
    else rows.push({ y: item.y, size: item.size, items: [item] });
  }
  return rows.map((row) => ({ cells: buildLines(row.items).flatMap((line) => line.cells), items: row.items }));
}

/**
 * Columns of prose, not of a table: both sides hold several lines at the same height, and most lines fill
 * their column. A table's cells are mostly short.
 */
function isColumnPair(left: readonly Line[], right: readonly Line[]): boolean {
  if (left.length < MIN_COLUMN_LINES || right.length < MIN_COLUMN_LINES) return false;
  const [one, other] = [extentOf(left), extentOf(right)];
  const shared = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
  const shorter = Math.min(one.bottom - one.top, other.bottom - other.top);
  return shared >= 0.4 * shorter && isProse(left) && isProse(right);
}

/** Lines come from top to bottom. */
function extentOf(lines: readonly Line[]): { top: number; bottom: number } {
  return { top: lines[0]?.y ?? 0, bottom: lines.at(-1)?.y ?? 0 };
}

function isProse(lines: readonly Line[]): boolean {
  const widths = lines.map((line) => line.right - line.x).toSorted((a, b) => a - b);
  const chars = lines
    .map((line) => line.cells.reduce((total, cell) => total + cell.text.length, 0))
    .toSorted((a, b) => a - b);
  const middle = Math.floor(lines.length / 2);
  const widest = widths.at(-1) ?? 0;
  return (widths[middle] ?? 0) >= 0.6 * widest && (chars[middle] ?? 0) >= 16;
}
