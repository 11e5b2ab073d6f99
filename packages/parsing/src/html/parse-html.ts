import { Readability } from "@mozilla/readability";
import { decodeText, declaredCharset, isBinaryNoise } from "../decode-text.ts";
import { damagedFile } from "../parse-errors.ts";
import type { FormatInput } from "../parse-format.ts";
import { encodingNotes } from "../parse-text.ts";
import type { ParsedDocument } from "../parsed-document.ts";
import { readDocument } from "../read-document.ts";
import { parseDom } from "./dom.ts";
import type { HtmlDocument } from "./dom.ts";
import { htmlToMarkdown } from "./html-to-markdown.ts";

/** Readability's version; it decides what of a page counts as its text. */
const VERSION = "0.6.0";
/** Below this share of the page's text the reader view is taken to have lost some of it. */
const ARTICLE_SHARE = 0.6;

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

/** The article's HTML, or undefined where it would lose text. */
function findArticle(document: HtmlDocument): string | undefined {
  // Readability takes the document apart, so it gets one of its own.
  const copy = parseDom(document.toString());
  const article = new Readability<string>(copy, { keepClasses: false }).parse();
  if (article?.content === null || article?.content === undefined) return undefined;
  const kept = lengthOf(article.textContent ?? "");
  return kept >= lengthOf(textWithoutEdges(document)) * ARTICLE_SHARE ? article.content : undefined;
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
