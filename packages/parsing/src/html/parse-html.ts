import { Readability } from "@mozilla/readability";
import { decodeText, declaredCharset, isBinaryNoise } from "../decode-text.ts";
import { damagedFile } from "../parse-errors.ts";
import type { FormatInput } from "../parse-format.ts";
import { encodingNotes } from "../parse-text.ts";
import type { ParsedDocument, ParseNote } from "../parsed-document.ts";
import { readDocument } from "../read-document.ts";
import { depthOf, parseDom } from "./dom.ts";
import type { HtmlDocument } from "./dom.ts";
import { htmlToMarkdown, tidyButtons } from "./html-to-markdown.ts";
import { partWords } from "./part-words.ts";
import { styleOf } from "./inline-style.ts";

/** Readability's version, and after the plus the number of our own rules on what of a page counts as its text. */
const VERSION = "0.6.0+3";
/** Reader view may leave out so much of the text and no more: a button, the name of an author. A clause is longer. */
const ARTICLE_SHARE = 0.98;
const MAX_ARTICLE_DEPTH = 100;
const MAX_ARTICLE_NODES = 100_000;

/**
 * An HTML page as one page of Markdown: the whole body without scripts, navigation and hidden parts, or the article
 * where reader view finds one that holds nearly all of that. Notes: `encoding_guessed`, `page_parts_left_out`.
 */
export async function parseHtml(input: FormatInput): Promise<ParsedDocument> {
  const bytes = await readDocument(input.path);
  const decoded = decodeText(bytes, declaredCharset(bytes));
  if (isBinaryNoise(decoded.text)) throw damagedFile("The file holds binary data between its text.");
  const document = parseDom(decoded.text);
  const title = titleOf(document);
  const hidden = removeUnseen(document);
  tidyButtons(document);
  partWords(document);
  const { text, omitted } = chooseText(document);
  return {
    parser: "readability",
    parser_version: VERSION,
    title,
    pages: [{ page_number: 1, text }],
    notes: [...encodingNotes(decoded), ...omissionNotes({ hidden, omitted })],
  };
}

/** One note where text was left out, with how many characters, blanks aside. Navigation, scripts and styles are no text. */
function omissionNotes({ hidden, omitted }: { hidden: number; omitted: number }): ParseNote[] {
  const parts = [
    hidden > 0 ? `${hidden} characters that the page hides` : "",
    omitted > 0 ? `${omitted} characters around its article` : "",
  ].filter((part) => part !== "");
  if (parts.length === 0) return [];
  return [{ code: "page_parts_left_out", message: `Parts of the page were left out: ${parts.join(", ")}.` }];
}

function titleOf(document: HtmlDocument): string | null {
  const named = document.querySelector("head > title, title")?.textContent ?? "";
  const title = named.trim() === "" ? (document.querySelector("h1")?.textContent ?? "") : named;
  return title.replace(/\s+/g, " ").trim() || null;
}

const NO_TEXT = "script, style, template, body title, nav, [role=navigation]";
const HIDDEN = "noscript, [hidden], [aria-hidden=true]";

/** Removes what is no text and what is hidden; answers with the length of the hidden text. */
function removeUnseen(document: HtmlDocument): number {
  for (const element of document.querySelectorAll(NO_TEXT)) element.remove();
  const hidden = [...document.querySelectorAll(HIDDEN)];
  for (const element of document.querySelectorAll("[style]")) {
    if (styleOf(element, "display") === "none" || styleOf(element, "visibility") === "hidden") hidden.push(element);
  }
  const before = lengthOf(document.body.textContent ?? "");
  // Some pages hide themselves until their scripts have run.
  for (const element of hidden) if (element.nodeName !== "HTML" && element.nodeName !== "BODY") element.remove();
  return before - lengthOf(document.body.textContent ?? "");
}

/** The page's text, and how much of it that leaves out. */
function chooseText(document: HtmlDocument): { text: string; omitted: number } {
  // What counts is what comes out in the end, so both are compared as Markdown.
  const whole = htmlToMarkdown(document.body.innerHTML);
  const article = findArticle(document);
  if (article === undefined) return { text: whole, omitted: 0 };
  const text = htmlToMarkdown(article);
  const omitted = lengthOf(whole) - lengthOf(text);
  if (omitted > lengthOf(whole) * (1 - ARTICLE_SHARE)) return { text: whole, omitted: 0 };
  return { text, omitted: Math.max(0, omitted) };
}

/** The article's HTML, or undefined where there is none. */
function findArticle(document: HtmlDocument): string | undefined {
  // Readability takes the document apart, so it gets one of its own.
  const copy = parseDom(document.toString());
  if (isTooMuch(copy)) return undefined;
  const article = new Readability<string>(copy, { keepClasses: false }).parse();
  if (article?.content === null || article?.content === undefined) return undefined;
  return withMainHeading(document, article.content);
}

/** Readability's time grows with the third power of the depth: 0.3 s for 100 levels, 28 s for 800. */
function isTooMuch(document: HtmlDocument): boolean {
  if (depthOf(document) > MAX_ARTICLE_DEPTH) return true;
  // Every entity is a node, and it hands on all of an element's nodes in one call, which takes some 100,000 arguments at most.
  let nodes = 0;
  for (const element of document.querySelectorAll("*")) nodes += [...element.childNodes].length;
  return nodes > MAX_ARTICLE_NODES;
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

/** Letters and digits: Markdown's own signs and the layout differ between a page and its article. */
function lengthOf(text: string): number {
  return text.replace(/[^\p{L}\p{N}]+/gu, "").length;
}
