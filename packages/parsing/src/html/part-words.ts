import type { HtmlDocument, HtmlElement } from "./dom.ts";
import { styleOf } from "./inline-style.ts";

/** Elements that are blocks in a browser, and text inside a line to the converter. */
const BLOCKS = new Set(["DETAILS", "SUMMARY", "DIALOG", "LEGEND", "SEARCH", "LISTING"]);
/** The converter's own blocks, parts of tables, and what holds no text: a style changes nothing about these. */
const SETTLED = new Set(
  (
    "ADDRESS ARTICLE ASIDE BLOCKQUOTE CAPTION CENTER COL COLGROUP DD DIR DIV DL DT FIELDSET FIGCAPTION FIGURE FOOTER " +
    "FORM H1 H2 H3 H4 H5 H6 HEADER HGROUP LI MAIN MENU NAV OL OUTPUT P PRE SECTION TABLE TBODY TD TFOOT TH THEAD TR UL " +
    "BR HR WBR"
  ).split(" "),
);
/** Values of `display` by which an element has lines of its own. A cell has not, but stands apart from the next one. */
const BLOCK_DISPLAY =
  /^(?:block|flow-root|flex|grid|table|list-item|table-(?:row|caption|(?:row|header|footer)-group))$/;
const ITEMS_DISPLAY = /^(?:inline-)?(?:flex|grid)$/;
/** What Markdown writes on one line: a block inside would break it in two. */
const ONE_LINE = new Set("H1 H2 H3 H4 H5 H6 A B STRONG I EM CODE PRE DEL S SUB SUP".split(" "));

/**
 * Parts the words of what a browser shows in lines or boxes of its own, by a block where the converter knows none, or by
 * blanks inside a heading, a link and the like. Of styles only those at the elements themselves are looked at.
 */
export function partWords(document: HtmlDocument): void {
  for (const box of boxesOf(document)) {
    const { element } = box;
    const [display = ""] = styleOf(element, "display").split(/\s/);
    const items = ITEMS_DISPLAY.test(display) ? [...element.children] : [];
    for (const item of items) addBlanks(item);
    if (SETTLED.has(element.nodeName)) continue;
    if (BLOCKS.has(element.nodeName) || BLOCK_DISPLAY.test(display)) makeBlock(box);
    else if (display === "table-cell") addBlanks(element);
  }
}

interface Box {
  element: HtmlElement;
  isInLine: boolean;
}

/** All elements of the body. Goes through them once: to look for a heading from each one upwards is quadratic. */
function boxesOf(document: HtmlDocument): Box[] {
  const boxes: Box[] = [{ element: document.body, isInLine: false }];
  // The list grows while it is gone through.
  for (const { element, isInLine } of boxes) {
    const isLine = isInLine || ONE_LINE.has(element.nodeName);
    for (const child of element.children) boxes.push({ element: child, isInLine: isLine });
  }
  return boxes.slice(1);
}

function makeBlock({ element, isInLine }: Box): void {
  if (isInLine) {
    addBlanks(element);
    return;
  }
  // Around it, for the element itself may be a link or bold.
  const block = element.ownerDocument.createElement("div");
  element.replaceWith(block);
  block.append(element);
}

function addBlanks(element: HtmlElement): void {
  element.replaceWith(" ", element, " ");
}
