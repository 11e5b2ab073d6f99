import type { HtmlDocument, HtmlElement } from "./dom.ts";

const BLOCKS = "p, div, ul, ol, li, h1, h2, h3, h4, h5, h6, blockquote, pre, hr, br, dl, dt, dd, section, article";

/** Stands at a table's first row and says how many columns the separator under it has. */
export const COLUMNS_ATTRIBUTE = "data-columns";
/** A page may ask for a billion. */
const MAX_COLUMN_SPAN = 50;

/**
 * Makes tables fit for pipes: tables that only lay out a page become blocks, cells become one line each,
 * and the first row becomes the heading, which Markdown cannot do without.
 */
export function tidyTables(document: HtmlDocument): void {
  // Outer tables come first in document order, so an unwrapped one no longer counts as a parent.
  for (const table of document.querySelectorAll("table")) {
    if (isLayout(table)) unwrapTable(table);
  }
  for (const table of document.querySelectorAll("table")) {
    for (const cell of table.querySelectorAll("td, th")) flattenCell(cell);
    markHeading(table);
  }
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

/** Gives the first row a separator under it; a cell over several columns is followed by empty ones. */
function markHeading(table: HtmlElement): void {
  const rows = [...table.querySelectorAll("tr")];
  for (const row of rows) {
    for (const cell of cellsOf(row)) spreadCell(cell);
  }
  const columns = Math.max(...rows.map((row) => cellsOf(row).length));
  rows[0]?.setAttribute(COLUMNS_ATTRIBUTE, String(columns));
}

function spreadCell(cell: HtmlElement): void {
  const span = Math.min(Number(cell.getAttribute("colspan") ?? 1), MAX_COLUMN_SPAN);
  const empty = Array.from({ length: Math.max(0, span - 1) || 0 }, () => cell.ownerDocument.createElement("td"));
  cell.after(...empty);
}

function cellsOf(row: HtmlElement): HtmlElement[] {
  return [...row.children].filter((child) => child.nodeName === "TD" || child.nodeName === "TH");
}
