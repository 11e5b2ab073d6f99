import { parseHTML } from "linkedom";

/** The few members of a DOM element that this package uses; the browser's own types are not part of this project. */
export interface HtmlElement {
  nodeName: string;
  nodeType: number;
  innerHTML: string;
  textContent: string | null;
  childNodes: Iterable<HtmlElement>;
  children: Iterable<HtmlElement>;
  parentNode: HtmlElement | null;
  previousSibling: HtmlElement | null;
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
  head: HtmlElement;
  body: HtmlElement;
  title: string;
  childNodes: Iterable<HtmlElement>;
  createElement: (name: string) => HtmlElement;
  querySelector: (selector: string) => HtmlElement | null;
  querySelectorAll: (selector: string) => Iterable<HtmlElement>;
  toString: () => string;
}

/** Parses a whole page or a fragment, whose text is all in the body then; scripts never run. Throws RangeError on absurd nesting. */
export function parseDom(html: string): HtmlDocument {
  const source = cutBlanks(html);
  // Without <html> as the first element the library makes another one the root and loses what is beside it.
  const whole = /<html[\s>]/i.test(source) ? parseWhole(source) : undefined;
  const document =
    whole?.documentElement?.nodeName === "HTML"
      ? whole
      : parseWhole(`<!doctype html><html><body>${source}</body></html>`);
  gatherBody(document);
  unwrapFrames(document);
  if (source.includes("<![CDATA[")) keepCharacterData(document);
  return document;
}

function parseWhole(html: string): HtmlDocument {
  return parseHTML(html).document;
}

const HEAD_PARTS: ReadonlySet<string> = new Set([
  "TITLE",
  "META",
  "LINK",
  "BASE",
  "SCRIPT",
  "STYLE",
  "NOSCRIPT",
  "TEMPLATE",
]);

/** The tags of the body may be left out, and text may stand behind them; the library leaves such text where it is. */
function gatherBody(document: HtmlDocument): void {
  // The first call makes the two where there are none.
  const { head, body } = document;
  const before = [...head.childNodes].filter((node) => !HEAD_PARTS.has(node.nodeName) && !isBlank(node));
  const after: HtmlElement[] = [];
  for (const root of document.childNodes) {
    const nodes = root === document.documentElement ? [...root.childNodes] : [root];
    for (const node of nodes) if (node !== head && node !== body && !isBlank(node)) after.push(node);
  }
  if (before.length > 0) {
    const rest = [...body.childNodes];
    // One by one: a call takes some 100,000 arguments at most.
    for (const node of [...before, ...rest]) body.append(node);
  }
  for (const node of after) body.append(node);
}

/** A frameset takes the body's place: the converter's own parser would throw away what it finds before it, and its root. */
function unwrapFrames(document: HtmlDocument): void {
  for (const frames of document.querySelectorAll("frameset, noframes, noframes body")) {
    const block = document.createElement("div");
    const nodes = [...frames.childNodes];
    frames.replaceWith(block);
    // One by one: a call takes some 100,000 arguments at most.
    for (const node of nodes) block.append(node);
  }
}

/** Types of nodes. */
export const ELEMENT = 1;
const TEXT = 3;
export const COMMENT = 8;

function isBlank(node: HtmlElement): boolean {
  return node.nodeType !== ELEMENT && (node.nodeType !== TEXT || (node.textContent ?? "").trim() === "");
}

/** XHTML may hold text as CDATA, which the library takes for comments. What stands in scripts is none of either. */
function keepCharacterData(document: HtmlDocument): void {
  const open = [document.body];
  for (let parent = open.pop(); parent !== undefined; parent = open.pop()) {
    // What is replaced must not be in the list that is gone through.
    const nodes = [...parent.childNodes];
    for (const node of nodes) {
      if (node.nodeType === ELEMENT) open.push(node);
      else if (node.nodeType === COMMENT) replaceCharacterData(node);
    }
  }
}

function replaceCharacterData(comment: HtmlElement): void {
  const text = comment.textContent ?? "";
  if (text.startsWith("[CDATA[") && text.endsWith("]]")) comment.replaceWith(text.slice(7, -2));
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
