import gfm from "@joplin/turndown-plugin-gfm";
import TurndownService from "turndown";
import { parseDom } from "./dom.ts";
import { tidyTables } from "./tidy-tables.ts";

/**
 * HTML as Markdown: `#` headings, `-` lists, pipe tables. Pictures go, and so do links that lead nowhere
 * outside the page; no `data:` URI survives. Throws RangeError on absurd nesting.
 */
export function htmlToMarkdown(html: string): string {
  const document = parseDom(html);
  for (const noise of document.querySelectorAll(NOISE)) noise.remove();
  tidyTables(document);
  const markdown = createTurndown().turndown(document.body.innerHTML);
  // Turndown pads "-" and "1." to four columns.
  return markdown.replace(/^(\s*(?:-|\d+\.))[ ]{2,3}(?=\S)/gm, "$1 ");
}

const NOISE =
  "script, style, noscript, template, iframe, object, embed, svg, img, picture, video, audio, canvas, select, input, button";
/** Longer addresses are trackers and inlined data; they would only fill the passages. */
const LINK_MAX_CHARS = 200;

function createTurndown(): TurndownService {
  const turndown = new TurndownService({
    headingStyle: "atx",
    bulletListMarker: "-",
    codeBlockStyle: "fenced",
    emDelimiter: "*",
    hr: "---",
  });
  turndown.use([gfm.tables, gfm.strikethrough]);
  turndown.addRule("links", { filter: "a", replacement: (content, node) => linkOf(content, hrefOf(node)) });
  // Backslashes before every bracket and underscore would end up in passages and searches.
  turndown.escape = (text) => text.replace(/^(#{1,6}\s)/, "\\$1");
  return turndown;
}

function linkOf(content: string, href: string): string {
  const text = content.trim();
  if (text === "" || text === "↑") return "";
  if (!/^(?:https?:|mailto:|tel:)/i.test(href) || href.length > LINK_MAX_CHARS || /[\s()]/.test(href)) return content;
  return text === href || text === href.replace(/^(?:mailto:|tel:)/i, "") ? text : `[${text}](${href})`;
}

function hrefOf(node: TurndownService.Node): string {
  return "getAttribute" in node && typeof node.getAttribute === "function"
    ? String(node.getAttribute("href") ?? "")
    : "";
}
