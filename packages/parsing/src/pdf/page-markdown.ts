import type { LineEndHyphen } from "./hyphenation.ts";
import { lineText } from "./line-text.ts";
import type { Line } from "./text-item.ts";

export interface MarkdownContext {
  levelOf: (line: Line) => number;
  /** Lines that repeat on many pages: they stand alone, so that they can be recognised and removed later. */
  isRepeated: (line: Line) => boolean;
  /** What becomes of the hyphen between two lines. */
  hyphenAt: (before: string, after: string) => LineEndHyphen;
}

type Kind = "heading" | "bullet" | "row" | "alone" | "prose";

/** A line read by itself. */
interface Reading {
  kind: Kind;
  level: number;
  text: string;
  line: Line;
}

/** Lines that belong together. */
interface Block {
  kind: Kind;
  level: number;
  /** Joined once, at the end: a text that grows line by line is copied with each. */
  parts: string[];
  /** The last END_CHARS of the text, by which it is decided how the next line follows. */
  end: string;
  last: Line;
}

/** Longer than any word, and than what else is looked for at the end of a text. */
const END_CHARS = 100;
/** Cells of a row that are compared with its neighbours', each with each. No table of a page has more columns. */
const MAX_COLUMNS = 100;

const BULLET = /^(?:[•‣⁃◦▪▫●○■□◆◇►▶➢➤✓✔·∙\uf0b7\uf0a7\uf0d8\uf076\uf0fc\uf02d]|[–—*-](?=\s))\s*/;
const NUMBERED = /^(?:\(?\d{1,3}[.)]|\(?[a-zA-Z][.)]|\(?[ivxIVX]{1,5}[.)])\s/;

/** A page's lines, in reading order, as Markdown: headings, bullets, `a | b` table rows, paragraphs. */
export function pageToMarkdown(lines: readonly Line[], context: MarkdownContext): string {
  const spacing = usualSpacing(lines);
  const parts: string[] = [];
  let block: Block | undefined;
  for (const index of lines.keys()) {
    const next = readLine({ lines, index, context });
    const bond = block === undefined ? undefined : bondOf(block, { next, spacing });
    if (block !== undefined && bond === "same") {
      extend(block, { next, context });
      continue;
    }
    if (block !== undefined) parts.push(render(block), bond === "line" ? "\n" : "\n\n");
    block = beginBlock(next);
  }
  if (block !== undefined) parts.push(render(block));
  return parts.join("");
}

function beginBlock({ kind, level, text, line }: Reading): Block {
  return { kind, level, parts: [text], end: text.slice(-END_CHARS), last: line };
}

function readLine(input: { lines: readonly Line[]; index: number; context: MarkdownContext }): Reading {
  const line = input.lines[input.index];
  if (line === undefined) throw new RangeError("There is no such line.");
  const text = lineText(line);
  if (input.context.isRepeated(line)) return { kind: "alone", level: 0, text, line };
  const level = input.context.levelOf(line);
  if (level > 0 && !BULLET.test(text)) return { kind: "heading", level, text, line };
  if (BULLET.test(text)) return { kind: "bullet", level: 0, text: text.replace(BULLET, ""), line };
  if (isTableRow(input.lines, input.index)) {
    return { kind: "row", level: 0, text: line.cells.map((cell) => cell.text).join(" | "), line };
  }
  return { kind: "prose", level: 0, text, line };
}

/** A row has cells, and one of the lines next to it has a cell at the same place. */
function isTableRow(lines: readonly Line[], index: number): boolean {
  const line = lines[index];
  if (line === undefined || line.cells.length < 2) return false;
  return [lines[index - 1], lines[index + 1]].some(
    (neighbour) =>
      neighbour !== undefined &&
      neighbour.cells.length >= 2 &&
      Math.abs(neighbour.y - line.y) < 4 * line.size &&
      sharesCell(line, neighbour),
  );
}

function sharesCell(line: Line, neighbour: Line): boolean {
  const near = line.size * 0.7;
  return line.cells
    .slice(1, MAX_COLUMNS)
    .some((cell) =>
      neighbour.cells
        .slice(1, MAX_COLUMNS)
        .some(
          (other) =>
            Math.abs(cell.x - other.x) < near ||
            Math.abs(cell.right - other.right) < near ||
            Math.abs(cell.x + cell.right - other.x - other.right) < 2 * near,
        ),
    );
}

/** The usual distance of two lines in font sizes, the median of the page. */
function usualSpacing(lines: readonly Line[]): number {
  const distances: number[] = [];
  for (const [index, line] of lines.entries()) {
    const before = lines[index - 1];
    if (before === undefined || Math.abs(before.size - line.size) > 0.6) continue;
    const distance = (line.y - before.y) / line.size;
    if (distance > 0.5 && distance < 3) distances.push(distance);
  }
  distances.sort((a, b) => a - b);
  return distances[Math.floor(distances.length / 2)] ?? 1.2;
}

type Bond = "same" | "line" | "blank";

/** How a line follows what is before it: in the same sentence, on the next line, or after a blank one. */
function bondOf(block: Block, { next, spacing }: { next: Reading; spacing: number }): Bond {
  const isNear = isNextLine(block.last, { line: next.line, spacing });
  if (isApart(block) || isApart(next)) return isOneHeading(block, next) && isNear ? "same" : "blank";
  if (next.kind === "bullet" || isRow(block) || isRow(next))
    return isNear || block.kind === next.kind ? "line" : "blank";
  return bondOfProse(block, { next, isNear });
}

function isNextLine(before: Line, input: { line: Line; spacing: number }): boolean {
  const distance = (input.line.y - before.y) / Math.max(input.line.size, before.size, 1);
  return distance > 0 && distance <= Math.max(input.spacing * 1.3, 1.25);
}

function isOneHeading(block: Block, next: Reading): boolean {
  return block.kind === "heading" && next.kind === "heading" && block.level === next.level;
}

function isRow(block: Block | Reading): boolean {
  return block.kind === "row";
}

function isApart(block: Block | Reading): boolean {
  return block.kind === "heading" || block.kind === "alone";
}

function bondOfProse(block: Block, { next, isNear }: { next: Reading; isNear: boolean }): Bond {
  const { line } = next;
  // A sentence that goes on at the top of the next column.
  const isNextColumn = line.y < block.last.y && line.column.left !== block.last.column.left;
  if (!isNear && !isNextColumn) return "blank";
  if (Math.abs(line.size - block.last.size) > 0.15 * line.size) return "blank";
  if (NUMBERED.test(next.text) || isListOfNumbers(block.end, next.text)) return "line";
  if (isNewParagraph(block, line)) return "blank";
  return isWrapped(block.last, line) ? "same" : "line";
}

/** Lines that each end in a number: contents, prices. They are never one sentence. */
function isListOfNumbers(before: string, after: string): boolean {
  return /\s\d{1,4}$/.test(before) && /\s\d{1,4}$/.test(after);
}

/** An indented line after the end of a sentence. */
function isNewParagraph(block: Block, line: Line): boolean {
  const isIndented = block.kind === "prose" && line.x > block.last.x + line.size * 0.8;
  return isIndented && /[.!?:]["”’)]?$/.test(block.end);
}

/** Whether the first word of `line` would not have fitted at the end of `before`: then the line was wrapped. */
function isWrapped(before: Line, line: Line): boolean {
  const text = lineText(line);
  const word = text.search(/\s/) === -1 ? text : text.slice(0, text.search(/\s/));
  // Text without spaces breaks anywhere: there a character counts as the word.
  const letters = /^[\u3000-\u9fff\uac00-\ud7af]/.test(text) ? 1 : word.length;
  const wordWidth = ((line.right - line.x) * letters) / Math.max(text.length, 1);
  return before.column.right - before.right < wordWidth + 0.5 * line.size;
}

function extend(block: Block, { next, context }: { next: Reading; context: MarkdownContext }): void {
  const { text, line } = next;
  const isCut = /\p{L}[-\u00ad\u2010]$/u.test(block.end) && /^[\p{Ll}\p{Lu}]/u.test(text);
  const hyphen = isCut ? context.hyphenAt(block.end, text) : undefined;
  if (hyphen === "gone") {
    block.parts.push(block.parts.pop()?.slice(0, -1) ?? "");
    block.end = block.end.slice(0, -1);
  }
  const isUnspaced = /[\u3000-\u9fff\uff00-\uffef]$/.test(block.end) && /^[\u3000-\u9fff\uff00-\uffef]/.test(text);
  const added = hyphen === "gone" || hyphen === "kept" || isUnspaced ? text : ` ${text}`;
  block.parts.push(added);
  block.end = (block.end + added).slice(-END_CHARS);
  block.last = line;
}

function render(block: Block): string {
  const text = block.parts.join("").replace(/\s+/g, " ").trim();
  if (block.kind === "heading") return `${"#".repeat(block.level)} ${text}`;
  if (block.kind === "bullet") return `- ${text}`;
  // A line that happens to begin like a heading is none.
  return text.replace(/^(#{1,6}\s)/, "\\$1");
}
