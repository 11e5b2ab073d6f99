import TurndownService from "turndown";
import { damagedFile } from "../parse-errors.ts";
import { cutBlanks, depthOf, parseDom } from "./dom.ts";
import type { HtmlDocument } from "./dom.ts";
import { writeSuperscripts } from "./superscripts.ts";
import { COLUMNS_ATTRIBUTE, tidyTables } from "./tidy-tables.ts";

/** Real pages stay below 100; from about 2,000 on the recursion of the converter ends the process's stack. */
const MAX_DEPTH = 1000;
/** Longer addresses are trackers and inlined data; they would only fill the passages. */
const LINK_MAX_CHARS = 200;
const NOISE =
  "script, style, noscript, template, iframe, object, embed, svg, img, picture, video, audio, canvas, select, input";
/** Such buttons open what stands behind them, like a question its answer: what they say is text. */
const OPENERS =
  "h1 button, h2 button, h3 button, h4 button, h5 button, h6 button, summary button, dt button, button[aria-expanded], button[aria-controls]";

/**
 * HTML as Markdown: `#` headings, `-` lists, pipe tables. Pictures go, and so do links that lead nowhere
 * outside the page; no `data:` URI survives. Throws damaged_file on absurd nesting.
 */
export function htmlToMarkdown(html: string): string {
  const document = parseDom(html);
  if (depthOf(document) > MAX_DEPTH) throw damagedFile("The document is nested too deeply to be read.");
  for (const noise of document.querySelectorAll(NOISE)) noise.remove();
  tidyButtons(document);
  writeSuperscripts(document);
  tidyTables(document);
  const markdown = createTurndown().turndown(cutBlanks(document.body.innerHTML));
  // Turndown pads "-" and "1." to four columns.
  return markdown.replace(/^([ \t]*(?:-|\d+\.))[ ]{2,3}(?=\S)/gm, "$1 ");
}

/** Buttons go, except that the titles of what can be opened become plain text. */
export function tidyButtons(document: HtmlDocument): void {
  for (const button of document.querySelectorAll(OPENERS)) button.replaceWith(...button.childNodes);
  for (const button of document.querySelectorAll("button")) button.remove();
}

function createTurndown(): TurndownService {
  const turndown = new TurndownService({
    headingStyle: "atx",
    bulletListMarker: "-",
    codeBlockStyle: "fenced",
    emDelimiter: "*",
    hr: "---",
  });
  addTableRules(turndown);
  turndown.addRule("links", {
    filter: "a",
    replacement: (content, node) => linkOf(content, attributeOf(node, "href")),
  });
  turndown.addRule("deleted", { filter: ["del", "s"], replacement: (content) => `~~${content}~~` });
  // Backslashes before every bracket and underscore would end up in passages and searches.
  turndown.escape = (text) => text.replace(/^(#{1,6}\s)/, "\\$1");
  return turndown;
}

/** The known plug-in for tables takes quadratic time: 10,000 rows did not end within two minutes. */
function addTableRules(turndown: TurndownService): void {
  turndown.addRule("cell", {
    filter: ["td", "th"],
    replacement: (content) => ` ${content.replace(/\s+/g, " ").trim().replace(/\|/g, "\\|")} |`,
  });
  turndown.addRule("row", {
    filter: "tr",
    replacement: (content, node) => {
      const columns = Number(attributeOf(node, COLUMNS_ATTRIBUTE));
      return columns > 0 ? `|${content}\n|${" --- |".repeat(columns)}\n` : `|${content}\n`;
    },
  });
  turndown.addRule("tableSection", { filter: ["thead", "tbody", "tfoot"], replacement: (content) => content });
  turndown.addRule("columns", { filter: ["colgroup", "col"], replacement: () => "" });
  turndown.addRule("block", { filter: ["caption", "table"], replacement: (content) => `\n\n${content.trim()}\n\n` });
}

function linkOf(content: string, href: string): string {
  const text = content.trim();
  if (text === "" || text === "↑") return "";
  if (!/^(?:https?:|mailto:|tel:)/i.test(href) || href.length > LINK_MAX_CHARS || /[\s()]/.test(href)) return content;
  return text === href || text === href.replace(/^(?:mailto:|tel:)/i, "") ? text : `[${text}](${href})`;
}

function attributeOf(node: TurndownService.Node, name: string): string {
  return "getAttribute" in node && typeof node.getAttribute === "function" ? String(node.getAttribute(name) ?? "") : "";
}
