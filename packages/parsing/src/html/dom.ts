import { parseHTML } from "linkedom";

/** The few members of a DOM element that this package uses; the browser's own types are not part of this project. */
export interface HtmlElement {
  nodeName: string;
  innerHTML: string;
  textContent: string | null;
  childNodes: Iterable<HtmlElement>;
  children: Iterable<HtmlElement>;
  parentNode: HtmlElement | null;
  ownerDocument: HtmlDocument;
  querySelector: (selector: string) => HtmlElement | null;
  querySelectorAll: (selector: string) => Iterable<HtmlElement>;
  closest: (selector: string) => HtmlElement | null;
  getAttribute: (name: string) => string | null;
  setAttribute: (name: string, value: string) => void;
  append: (...nodes: (HtmlElement | string)[]) => void;
  replaceWith: (...nodes: (HtmlElement | string)[]) => void;
  after: (...nodes: (HtmlElement | string)[]) => void;
  remove: () => void;
}

export interface HtmlDocument {
  documentElement: HtmlElement | null;
  body: HtmlElement;
  title: string;
  createElement: (name: string) => HtmlElement;
  querySelector: (selector: string) => HtmlElement | null;
  querySelectorAll: (selector: string) => Iterable<HtmlElement>;
  toString: () => string;
}

/** Parses a whole page or a fragment; scripts never run. Throws RangeError on absurd nesting. */
export function parseDom(html: string): HtmlDocument {
  const source = cutBlanks(html);
  // Without <html> the library makes the first element the root and loses the others.
  const page = /<html[\s>]/i.test(source) ? source : `<!doctype html><html><body>${source}</body></html>`;
  const document: HtmlDocument = parseHTML(page).document;
  return document;
}

/**
 * HTML whose runs of blanks have lost what is past 200, more than any layout needs. To the libraries they are costly: one
 * keeps every no-break space that is written as an entity as a node, another looks for the last blanks from each blank on,
 * which is quadratic.
 */
export function cutBlanks(html: string): string {
  return html.replace(TOO_MANY_BLANKS, "");
}

const TOO_MANY_BLANKS = /(?<=(?:\s|&nbsp;|&#160;){200})(?:\s|&nbsp;|&#160;)+/g;

/** How deep the body's elements are nested; counted without recursion. */
export function depthOf(document: HtmlDocument): number {
  let depth = 0;
  let level = [document.body];
  while (level.length > 0) {
    depth += 1;
    const next: HtmlElement[] = [];
    for (const element of level) for (const child of element.children) next.push(child);
    level = next;
  }
  return depth;
}
