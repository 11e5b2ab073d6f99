import type { ParsedPage } from "../parsed-document.ts";
import { rankHeadings } from "./heading-levels.ts";
import { hyphensByUsage } from "./hyphenation.ts";
import { lineText } from "./line-text.ts";
import { readingOrder } from "./page-columns.ts";
import { pageToMarkdown } from "./page-markdown.ts";
import { findRepeatedLines } from "./repeated-lines.ts";
import type { Line, PageItems } from "./text-item.ts";

/** The pages' items as Markdown. Headings, repeated lines and hyphens are judged over the whole document. */
export function layoutPages(pages: readonly PageItems[]): ParsedPage[] {
  const groupsByPage = pages.map((page) => page.groups.map((group) => readingOrder(group)));
  const mainLines = groupsByPage.map((groups) => groups[0] ?? []);
  const allLines = groupsByPage.flat(2);
  const isRepeated = findRepeatedLines(mainLines);
  const { levelOf } = rankHeadings(allLines.filter((line) => !isRepeated(line)));
  const hyphenAt = hyphensByUsage(wordsOf(allLines));
  return groupsByPage.map((groups, index) => ({
    page_number: index + 1,
    text: groups
      .map((lines) => pageToMarkdown(lines, { levelOf, isRepeated, hyphenAt }))
      .filter((text) => text !== "")
      .join("\n\n"),
  }));
}

function* wordsOf(lines: readonly Line[]): Generator<string> {
  for (const line of lines) {
    for (const [word] of lineText(line).matchAll(/\p{L}+(?:[-\u2010]\p{L}+)*/gu)) yield word.toLowerCase();
  }
}
