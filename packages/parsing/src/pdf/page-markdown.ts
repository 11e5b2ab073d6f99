import { lineText } from "./line-text.ts";
import type { Line } from "./text-item.ts";

export interface MarkdownContext {
  levelOf: (line: Line) => number;
  /** Lines that repeat on many pages: they stand alone, so that they can be recognised and removed later. */
  isRepeated: (line: Line) => boolean;
  /** How the document itself writes a word that a line's end has cut in two. */
  joinHyphenated: (before: string, after: string) => string;
}

type Kind = "heading" | "bullet" | "row" | "alone" | "prose";

interface Block {
  kind: Kind;
  level: number;
  text: string;
  last: Line;
}

const BULLET = /^(?:[•‣⁃◦▪▫●○■□◆◇►▶➢➤✓✔·∙\uf0b7\uf0a7\uf0d8\uf076\uf0fc\uf02d]|[–—*-](?=\s))\s*/;
const NUMBERED = /^(?:\(?\d{1,3}[.)]|\(?[a-zA-Z][.)]|\(?[ivxIVX]{1,5}[.)])\s/;

/** A page's lines, in reading order, as Markdown: headings, bullets, `a | b` table rows, paragraphs. */
export function pageToMarkdown(lines: readonly Line[], context: MarkdownContext): string {
  const spacing = usualSpacing(lines);
  const parts: string[] = [];
  let block: Block | undefined;
  for (const [index, line] of lines.entries()) {
    const next = readLine({ lines, index, context });
    if (block === undefined) {
      block = next;
      continue;
    }
    const bond = bondOf(block, { next, line, spacing });
    if (bond === "same") {
      block = { ...block, text: appendText(block.text, { text: next.text, context }), last: line };
    } else {
      parts.push(render(block), bond === "line" ? "\n" : "\n\n");
      block = next;
    }
  }
  if (block !== undefined) parts.push(render(block));
  return parts.join("");
}

function readLine(input: { lines: readonly Line[]; index: number; context: MarkdownContext }): Block {
  const line = input.lines[input.index];
  if (line === undefined) throw new RangeError("There is no such line.");
  const text = lineText(line);
  if (input.context.isRepeated(line)) return { kind: "alone", level: 0, text, last: line };
  const level = input.context.levelOf(line);
  if (level > 0 && !BULLET.test(text)) return { kind: "heading", level, text, last: line };
  if (BULLET.test(text)) return { kind: "bullet", level: 0, text: text.replace(BULLET, ""), last: line };
  if (isTableRow(input.lines, input.index)) {
    return { kind: "row", level: 0, text: line.cells.map((cell) => cell.text).join(" | "), last: line };
  }
  return { kind: "prose", level: 0, text, last: line };
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
    .slice(1)
    .some((cell) =>
      neighbour.cells
        .slice(1)
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
function bondOf(block: Block, input: { next: Block; line: Line; spacing: number }): Bond {
  const { next, line, spacing } = input;
  const isNear = isNextLine(block.last, { line, spacing });
  if (isApart(block) || isApart(next)) return isOneHeading(block, next) && isNear ? "same" : "blank";
  if (next.kind === "bullet" || isRow(block) || isRow(next))
    return isNear || block.kind === next.kind ? "line" : "blank";
  return bondOfProse(block, { next, line, isNear });
}

function isNextLine(before: Line, input: { line: Line; spacing: number }): boolean {
  const distance = (input.line.y - before.y) / Math.max(input.line.size, before.size, 1);
  return distance > 0 && distance <= Math.max(input.spacing * 1.3, 1.25);
}

function isOneHeading(block: Block, next: Block): boolean {
  return block.kind === "heading" && next.kind === "heading" && block.level === next.level;
}

function isRow(block: Block): boolean {
  return block.kind === "row";
}

function isApart(block: Block): boolean {
  return block.kind === "heading" || block.kind === "alone";
}

function bondOfProse(block: Block, input: { next: Block; line: Line; isNear: boolean }): Bond {
  const { next, line, isNear } = input;
  // A sentence that goes on at the top of the next column.
  const isNextColumn = line.y < block.last.y && line.column.left !== block.last.column.left;
  if (!isNear && !isNextColumn) return "blank";
  if (Math.abs(line.size - block.last.size) > 0.15 * line.size) return "blank";
  if (NUMBERED.test(next.text) || isListOfNumbers(block.text, next.text)) return "line";
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
  return isIndented && /[.!?:]["”’)]?$/.test(block.text);
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

function appendText(before: string, input: { text: string; context: MarkdownContext }): string {
  const { text, context } = input;
  if (/\p{L}[-\u00ad\u2010]$/u.test(before) && /^\p{Ll}/u.test(text)) return context.joinHyphenated(before, text);
  if (/[\u3000-\u9fff\uff00-\uffef]$/.test(before) && /^[\u3000-\u9fff\uff00-\uffef]/.test(text)) return before + text;
  return `${before} ${text}`;
}

function render(block: Block): string {
  const text = block.text.replace(/\s+/g, " ").trim();
  if (block.kind === "heading") return `${"#".repeat(block.level)} ${text}`;
  if (block.kind === "bullet") return `- ${text}`;
  // A line that happens to begin like a heading is none.
  return text.replace(/^(#{1,6}\s)/, "\\$1");
}
