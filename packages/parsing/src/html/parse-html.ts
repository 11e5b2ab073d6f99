import { Readability } from "@mozilla/readability";
import { decodeText, declaredCharset, isBinaryNoise } from "../decode-text.ts";
import { damagedFile } from "../parse-errors.ts";
import type { FormatInput } from "../parse-format.ts";
import { encodingNotes } from "../parse-text.ts";
import type { ParsedDocument } from "../parsed-document.ts";
import { readDocument } from "../read-document.ts";
import { depthOf, parseDom } from "./dom.ts";
import type { HtmlDocument } from "./dom.ts";
import { htmlToMarkdown } from "./html-to-markdown.ts";

/** Readability's version; it decides what of a page counts as its text. */
const VERSION = "0.6.0";
/** Below this share of the page's text the reader view is taken to have lost some of it. */
const ARTICLE_SHARE = 0.6;
const MAX_ARTICLE_DEPTH = 100;
const MAX_ARTICLE_ELEMENTS = 50_000;

/**
 * An HTML page as one page of Markdown: the article where reader view finds one that holds most of the
 * text, else the whole body without scripts, navigation and hidden parts. Notes: `encoding_guessed`.
 */
export async function parseHtml(input: FormatInput): Promise<ParsedDocument> {
  const bytes = await readDocument(input.path);
  const decoded = decodeText(bytes, declaredCharset(bytes));
  if (isBinaryNoise(decoded.text)) throw damagedFile("The file holds binary data between its text.");
  const document = parseDom(decoded.text);
  const title = titleOf(document);
  removeHidden(document);
  const text = htmlToMarkdown(findArticle(document) ?? document.body.innerHTML);
  return {
    parser: "readability",
    parser_version: VERSION,
    title,
    pages: [{ page_number: 1, text }],
    notes: encodingNotes(decoded),
  };
}

function titleOf(document: HtmlDocument): string | null {
  const named = document.querySelector("head > title, title")?.textContent ?? "";
  const title = named.trim() === "" ? (document.querySelector("h1")?.textContent ?? "") : named;
  return title.replace(/\s+/g, " ").trim() || null;
}

function removeHidden(document: HtmlDocument): void {
  for (const element of document.querySelectorAll(
    "script, style, noscript, template, nav, [hidden], [aria-hidden=true], [role=navigation]",
  )) {
    element.remove();
  }
  for (const element of document.querySelectorAll("[style]")) {
    if (/display\s*:\s*none|visibility\s*:\s*hidden/i.test(element.getAttribute("style") ?? "")) element.remove();
  }
}

/** The article's HTML, or undefined where there is none or it would lose text. */
function findArticle(document: HtmlDocument): string | undefined {
  if (isTooMuch(document)) return undefined;
  // Readability takes the document apart, so it gets one of its own.
  const article = new Readability<string>(parseDom(document.toString()), { keepClasses: false }).parse();
  if (article?.content === null || article?.content === undefined) return undefined;
  const kept = lengthOf(article.textContent ?? "");
  if (kept < lengthOf(textWithoutEdges(document)) * ARTICLE_SHARE) return undefined;
  return withMainHeading(document, article.content);
}

/** Readability's time grows with the third power of the depth: 0.3 s for 100 levels, 28 s for 800. */
function isTooMuch(document: HtmlDocument): boolean {
  return depthOf(document) > MAX_ARTICLE_DEPTH || [...document.querySelectorAll("*")].length > MAX_ARTICLE_ELEMENTS;
}

/** Readability takes a heading that repeats the title for noise; here it is what the passages stand under. */
function withMainHeading(document: HtmlDocument, content: string): string {
  const headings = [...document.querySelectorAll("h1")];
  const text = headings[0]?.textContent?.replace(/\s+/g, " ").trim() ?? "";
  const [heading] = headings;
  if (heading === undefined || headings.length > 1 || text === "") return content;
  const kept = [...parseDom(content).querySelectorAll("h1, h2")].some(
    (each) => each.textContent?.replace(/\s+/g, " ").trim() === text,
  );
  return kept ? content : `<h1>${heading.innerHTML}</h1>${content}`;
}

/** The body's text less what a page repeats around its content. */
function textWithoutEdges(document: HtmlDocument): string {
  const copy = parseDom(document.toString());
  for (const edge of copy.querySelectorAll("body > header, body > footer, aside")) edge.remove();
  return copy.body.textContent ?? "";
}

function lengthOf(text: string): number {
  return text.replace(/\s+/g, "").length;
}
