import type { HtmlDocument, HtmlElement } from "./dom.ts";

const BLOCKS = "p, div, ul, ol, li, h1, h2, h3, h4, h5, h6, blockquote, pre, hr, br, dl, dt, dd, section, article";

/**
 * Makes tables fit for pipes: tables that only lay out a page become blocks, cells become one line each,
 * and the first row becomes the heading where the page names none.
 */
export function tidyTables(document: HtmlDocument): void {
  // Outer tables come first in document order, so an unwrapped one no longer counts as a parent.
  for (const table of document.querySelectorAll("table")) {
    if (isLayout(table)) unwrapTable(table);
  }
  for (const table of document.querySelectorAll("table")) {
    for (const cell of table.querySelectorAll("td, th")) flattenCell(cell);
    promoteHeading(table);
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

function promoteHeading(table: HtmlElement): void {
  if (table.querySelector("thead, th") !== null && table.querySelector("tr") === rowWithHeading(table)) return;
  const [first] = table.querySelectorAll("tr");
  if (first === undefined) return;
  for (const cell of cellsOf(first)) {
    if (cell.nodeName !== "TD") continue;
    const heading = cell.ownerDocument.createElement("th");
    for (const name of ["colspan", "rowspan"]) {
      const value = cell.getAttribute(name);
      if (value !== null) heading.setAttribute(name, value);
    }
    heading.append(...cell.childNodes);
    cell.replaceWith(heading);
  }
}

function rowWithHeading(table: HtmlElement): HtmlElement | undefined {
  return [...table.querySelectorAll("tr")].find((row) => cellsOf(row).every((cell) => cell.nodeName === "TH"));
}

function cellsOf(row: HtmlElement): HtmlElement[] {
  return [...row.children].filter((child) => child.nodeName === "TD" || child.nodeName === "TH");
}
