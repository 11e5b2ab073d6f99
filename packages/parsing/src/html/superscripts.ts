import { COMMENT, ELEMENT } from "./dom.ts";
import type { HtmlDocument, HtmlElement } from "./dom.ts";

/** "1st", "3e", "1er", "5ème": the superscript is the end of the word. */
const ORDINAL = /^(?:st|nd|rd|th|ers?|re|[eè]re|i?[eè]me|[eoa]s?)$/i;
const RAISED = /^[+\u2212-]?[\p{L}\p{N}]/u;
/** A line goes on through the edges of these. */
const INLINE = new Set("A ABBR B CODE DEL EM FONT I INS MARK S SMALL SPAN STRONG U".split(" "));

/**
 * Writes superscripts right behind a letter or digit as formulas are written, `10^(6)`: without the sign a power or the
 * number of a footnote becomes part of an amount. Ordinals stay as they are.
 */
export function writeSuperscripts(document: HtmlDocument): void {
  for (const superscript of document.querySelectorAll("sup")) {
    const text = (superscript.textContent ?? "").trimEnd();
    if (!RAISED.test(text) || ORDINAL.test(text)) continue;
    const before = characterBefore(superscript);
    // "Mme", "Cie" and trade marks.
    const isAbbreviation = /\p{L}/u.test(before) && /^\p{L}{2,}$/u.test(text);
    if (/[\p{L}\p{N})]/u.test(before) && !isAbbreviation) superscript.replaceWith("^(", superscript, ")");
  }
}

/** The last character before the element, "" where it begins its line. */
function characterBefore(element: HtmlElement): string {
  let node: HtmlElement | null = element;
  while (node !== null) {
    const before: HtmlElement | null = node.previousSibling;
    if (before !== null && isLineEnd(before)) return "";
    const text = before === null || before.nodeType === COMMENT ? "" : (before.textContent ?? "");
    if (text !== "") return text.slice(-1);
    node = before ?? inlineParent(node);
  }
  return "";
}

function isLineEnd(node: HtmlElement): boolean {
  return node.nodeType === ELEMENT && !INLINE.has(node.nodeName);
}

function inlineParent({ parentNode }: HtmlElement): HtmlElement | null {
  return parentNode !== null && INLINE.has(parentNode.nodeName) ? parentNode : null;
}
