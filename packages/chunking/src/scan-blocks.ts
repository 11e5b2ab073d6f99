import type { Block, Scanned } from "./block.ts";
import type { Range } from "./document-content.ts";
import { headingTitle } from "./heading-title.ts";
import { scanList } from "./scan-list.ts";
import {
  hasTableStart,
  isAtxHeading,
  isBlank,
  isFence,
  isListItem,
  isThematicBreak,
  scanLines,
  skipFence,
} from "./scan-lines.ts";
import type { Line } from "./scan-lines.ts";

/** A setext "heading" longer than this is a paragraph above a rule, which converters write without an empty line. */
const MAX_SETEXT_HEADING = 200;

/**
 * The blocks of one page of Markdown; `offset` is added to every range.
 *
 * Own code, because only the flat block structure is needed and it must be linear on hostile input:
 * mdast-util-from-markdown with all inline syntax disabled does 0.3 MB/s, this more than 100 MB/s. It follows CommonMark
 * and GFM tables where they matter for cutting (a test compares the headings); quotes stay paragraphs. Each page is
 * read on its own, so an unclosed fence ends with its page.
 */
export function scanMarkdown(page: string, offset: number): Block[] {
  const lines = scanLines(page, offset);
  const blocks: Block[] = [];
  let at = 0;
  while (at < lines.length) {
    if (isBlank(lines[at])) {
      at += 1;
      continue;
    }
    const { block, next } = scanBlock(lines, at);
    blocks.push(block);
    at = next;
  }
  return blocks;
}

/** The paragraphs of one page of plain text: what empty lines separate. */
export function scanPlainText(page: string, offset: number): Block[] {
  const lines = scanLines(page, offset);
  const blocks: Block[] = [];
  let at = 0;
  while (at < lines.length) {
    const first = at;
    while (!isBlank(lines[at])) at += 1;
    if (at > first) blocks.push({ kind: "text", range: rangeOf(lines, first, at) });
    at += 1;
  }
  return blocks;
}

function scanBlock(lines: Line[], at: number): Scanned {
  return (
    scanAtxHeading(lines, at) ??
    scanRule(lines, at) ??
    scanFencedCode(lines, at) ??
    scanIndentedCode(lines, at) ??
    scanTable(lines, at) ??
    scanList(lines, at) ??
    scanParagraph(lines, at)
  );
}

function scanAtxHeading(lines: Line[], at: number): Scanned | undefined {
  if (!isAtxHeading(lines[at])) return undefined;
  const text = (lines[at]?.text ?? "").trim();
  const depth = text.length - text.replace(/^#+/u, "").length;
  const title = headingTitle(text.slice(depth));
  const range = rangeOf(lines, at, at + 1);
  return { block: title === "" ? { kind: "text", range } : { kind: "heading", range, depth, title }, next: at + 1 };
}

function scanRule(lines: Line[], at: number): Scanned | undefined {
  if (!isThematicBreak(lines[at])) return undefined;
  return { block: { kind: "text", range: rangeOf(lines, at, at + 1) }, next: at + 1 };
}

function scanFencedCode(lines: Line[], at: number): Scanned | undefined {
  if (!isFence(lines[at])) return undefined;
  const next = skipFence(lines, at);
  return { block: { kind: "code", range: rangeOf(lines, at, next) }, next };
}

function scanIndentedCode(lines: Line[], at: number): Scanned | undefined {
  let next = at;
  while (!isBlank(lines[next]) && (lines[next]?.indent ?? 0) >= 4) next += 1;
  return next === at ? undefined : { block: { kind: "code", range: rangeOf(lines, at, next) }, next };
}

function scanTable(lines: Line[], at: number): Scanned | undefined {
  if (!hasTableStart(lines, at)) return undefined;
  const rows: Range[] = [];
  let next = at + 2;
  while (!isBlank(lines[next]) && !isAtxHeading(lines[next]) && !isFence(lines[next])) {
    rows.push(rangeOf(lines, next, next + 1));
    next += 1;
  }
  return { block: { kind: "table", range: rangeOf(lines, at, next), header: rangeOf(lines, at, at + 2), rows }, next };
}

function scanParagraph(lines: Line[], at: number): Scanned {
  let next = at + 1;
  while (!isBlank(lines[next])) {
    const depth = setextDepth(lines[next]);
    const range = rangeOf(lines, at, next);
    if (depth !== undefined && range.end - range.start <= MAX_SETEXT_HEADING) {
      return scanSetextHeading({ lines, at, next, depth });
    }
    if (interruptsParagraph(lines, next)) break;
    next += 1;
  }
  const range = rangeOf(lines, at, next);
  const isHtmlTable = /^ {0,3}<table\b/iu.test(lines[at]?.text.slice(0, 20) ?? "");
  return { block: { kind: isHtmlTable ? "code" : "text", range }, next };
}

function scanSetextHeading(input: { lines: Line[]; at: number; next: number; depth: number }): Scanned {
  const { lines, at, next, depth } = input;
  const source = lines.slice(at, next).map((line) => line.text);
  const title = headingTitle(source.join("\n"));
  const range = rangeOf(lines, at, next + 1);
  return { block: title === "" ? { kind: "text", range } : { kind: "heading", range, depth, title }, next: next + 1 };
}

function setextDepth(line: Line | undefined): number | undefined {
  const text = line?.text ?? "";
  if (/^ {0,3}=+[ \t]*$/.test(text)) return 1;
  return /^ {0,3}-+[ \t]*$/.test(text) ? 2 : undefined;
}

function interruptsParagraph(lines: Line[], at: number): boolean {
  const line = lines[at];
  return isAtxHeading(line) || isFence(line) || isThematicBreak(line) || isListItem(line) || hasTableStart(lines, at);
}

function rangeOf(lines: Line[], from: number, to: number): Range {
  return { start: lines[from]?.start ?? 0, end: lines[to - 1]?.end ?? 0 };
}
