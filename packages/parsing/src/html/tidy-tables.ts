import type { HtmlDocument, HtmlElement } from "./dom.ts";

const BLOCKS = "p, div, ul, ol, li, h1, h2, h3, h4, h5, h6, blockquote, pre, hr, br, dl, dt, dd, section, article";

/** Stands at a table's first row and says how many columns the separator under it has. */
export const COLUMNS_ATTRIBUTE = "data-columns";
/** A page may ask for a billion. */
const MAX_COLUMN_SPAN = 50;
const MAX_ROW_SPAN = 1000;
/** How many characters a document's cells over several rows may add, a cell being worth ten; a long book of tables needs a tenth. */
const MAX_REPEATED = 300_000;
const CELL_COST = 10;

/**
 * Makes tables fit for pipes: tables that only lay out a page become blocks, cells become one line each,
 * and the first row becomes the heading, which Markdown cannot do without.
 */
export function tidyTables(document: HtmlDocument): void {
  for (const table of document.querySelectorAll("table")) moveFoot(table);
  // Outer tables come first in document order, so an unwrapped one no longer counts as a parent.
  for (const table of document.querySelectorAll("table")) {
    if (isLayout(table)) unwrapTable(table);
  }
  const room = { left: MAX_REPEATED };
  for (const table of document.querySelectorAll("table")) {
    for (const cell of table.querySelectorAll("td, th")) flattenCell(cell);
    markHeading(table, room);
  }
}

/** A table's first foot is shown last, wherever it is written. */
function moveFoot(table: HtmlElement): void {
  const foot = [...table.children].find((child) => child.nodeName === "TFOOT");
  if (foot !== undefined) table.append(foot);
}

function isLayout(table: HtmlElement): boolean {
  if (table.querySelector("table") !== null) return true;
  return [...table.querySelectorAll("tr")].every((row) => cellsOf(row).length <= 1);
}

function unwrapTable(table: HtmlElement): void {
  for (const part of ownParts(table)) replaceByBlock(part);
  replaceByBlock(table);
}

/** Rows and cells of this table, not of a table inside it. */
function ownParts(table: HtmlElement): HtmlElement[] {
  const parts = [...table.querySelectorAll("caption, colgroup, thead, tbody, tfoot, tr, td, th")];
  // Inner parts go first, so that no part loses its parent before its turn.
  return parts.filter((part) => part.closest("table") === table).toReversed();
}

function replaceByBlock(element: HtmlElement): void {
  const block = element.ownerDocument.createElement("div");
  block.append(...element.childNodes);
  element.replaceWith(block);
}

/** A line of a pipe table cannot break: blocks become runs of text with a space between them. */
function flattenCell(cell: HtmlElement): void {
  for (const block of [...cell.querySelectorAll(BLOCKS)].toReversed()) {
    block.replaceWith(" ", ...block.childNodes, " ");
  }
}

/** Gives the first row a separator under it, and every row a cell in each column that it reaches. */
function markHeading(table: HtmlElement, room: Room): void {
  const rows = [...table.querySelectorAll("tr")];
  const open: OpenCells = new Map();
  let columns = 0;
  let section: HtmlElement | null = null;
  for (const [index, row] of rows.entries()) {
    // A cell ends with the head or body of the table that it stands in.
    if (row.parentNode !== section) open.clear();
    section = row.parentNode;
    columns = Math.max(columns, spreadRow(row, { index, open, room }));
  }
  rows[0]?.setAttribute(COLUMNS_ATTRIBUTE, String(columns));
}

interface Room {
  left: number;
}

/** By column, the text of a cell that reaches into further rows, and the index of the last one. */
type OpenCells = Map<number, { text: string; lastRow: number }>;

/**
 * Gives the row a cell for each column: one over several columns is followed by empty ones, one over several rows
 * is repeated in each, because a line of a pipe table is read by itself. Answers with the number of columns.
 */
function spreadRow(row: HtmlElement, { index, open, room }: { index: number; open: OpenCells; room: Room }): number {
  const own = cellsOf(row);
  const cells: HtmlElement[] = [];
  if (room.left <= 0) open.clear();
  for (const cell of own) {
    while (isOpen(open, cells.length, index)) repeatCell(row, { cells, open, room });
    const first = cells.push(cell) - 1;
    for (let span = spanOf(cell, "colspan", MAX_COLUMN_SPAN); span > 1; span -= 1) cells.push(makeCell(row, ""));
    const rows = spanOf(cell, "rowspan", MAX_ROW_SPAN);
    if (rows > 1) openCell(open, { cell, first, end: cells.length, lastRow: index + rows - 1 });
  }
  const end = endOfOpen(open, index);
  while (cells.length < end) repeatCell(row, { cells, open, room });
  // One by one: a call takes some 100,000 arguments at most.
  if (cells.length > own.length) for (const cell of cells) row.append(cell);
  return cells.length;
}

function openCell(open: OpenCells, reach: { cell: HtmlElement; first: number; end: number; lastRow: number }): void {
  const { cell, first, end, lastRow } = reach;
  open.set(first, { text: oneLine(cell), lastRow });
  for (let column = first + 1; column < end; column += 1) open.set(column, { text: "", lastRow });
}

function isOpen(open: OpenCells, column: number, row: number): boolean {
  return (open.get(column)?.lastRow ?? -1) >= row;
}

function repeatCell(
  row: HtmlElement,
  { cells, open, room }: { cells: HtmlElement[]; open: OpenCells; room: Room },
): void {
  const text = open.get(cells.length)?.text ?? "";
  room.left -= CELL_COST + text.length;
  cells.push(makeCell(row, text));
}

/** One past the last column that a cell above reaches into; forgets the cells that have ended. */
function endOfOpen(open: OpenCells, row: number): number {
  let end = 0;
  for (const column of open.keys()) {
    if (isOpen(open, column, row)) end = Math.max(end, column + 1);
    else open.delete(column);
  }
  return end;
}

/** Zero rows are all that follow. */
function spanOf(cell: HtmlElement, name: "colspan" | "rowspan", most: number): number {
  const span = Number(cell.getAttribute(name) ?? 1);
  return span === 0 && name === "rowspan" ? most : Math.min(span, most) || 1;
}

function makeCell(row: HtmlElement, text: string): HtmlElement {
  const cell = row.ownerDocument.createElement("td");
  cell.append(text);
  return cell;
}

/** Noncharacters stand for page breaks in a Word file's text, and those happen once. */
function oneLine(cell: HtmlElement): string {
  return (cell.textContent ?? "")
    .replace(/[\ufdd0-\ufdef]/g, "")
    .replace(/\s+/g, " ")
    .trim();
}

function cellsOf(row: HtmlElement): HtmlElement[] {
  return [...row.children].filter((child) => child.nodeName === "TD" || child.nodeName === "TH");
}
