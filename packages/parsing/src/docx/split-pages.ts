import type { ParsedPage } from "../parsed-document.ts";
import { PAGE_MARKS } from "./page-marks.ts";

const MARKS: readonly string[] = Object.values(PAGE_MARKS);
const ANY_MARK = new RegExp(`[${MARKS.join("")}]`, "g");
const MARK_RUNS = new RegExp(`([${MARKS.join("")}]+)`);

/** Splits marked Markdown into pages. A break that Word noted in several ways counts once. */
export function splitMarkedPages(markdown: string): ParsedPage[] {
  const pages: string[][] = [[]];
  let marks = "";
  for (const part of markdown.split("\n").flatMap(placeMarks)) {
    if (isMarks(part)) {
      marks += part;
      continue;
    }
    // Marks take effect with the next text: those at the very end begin no page.
    if (part.trim() !== "") {
      const breaks = marks === "" ? 0 : countBreaks(marks, isBlank(pages));
      for (let turned = 0; turned < breaks; turned += 1) pages.push([]);
      marks = "";
    }
    pages.at(-1)?.push(part);
  }
  return pages.map((lines, index) => ({ page_number: index + 1, text: lines.join("\n").trim() }));
}

function isBlank(pages: readonly (readonly string[])[]): boolean {
  return pages.length === 1 && pages[0]?.every((line) => line.trim() === "") === true;
}

/** A line cut at its marks. Headings and table rows stay whole: their marks go in front. */
function placeMarks(line: string): string[] {
  const marks = line.match(ANY_MARK);
  if (marks === null) return [line];
  const bare = line.replace(ANY_MARK, "");
  if (!/[^\s*_#>|-]/.test(bare)) return [marks.join("")];
  if (/^\s*(?:\||#{1,6}\s)/.test(bare)) {
    return isLateMark(line) ? [bare, marks.join("")] : [marks.join(""), bare];
  }
  return cutLine(line);
}

/** Every mark stands behind the line's last word: a break that ends a heading belongs after it. */
function isLateMark(line: string): boolean {
  const first = line.search(ANY_MARK);
  return !/[^\s*_|]/.test(line.slice(first).replace(ANY_MARK, ""));
}

function cutLine(line: string): string[] {
  const parts = line.split(MARK_RUNS).filter((part) => part !== "");
  const [first, second] = parts;
  // "- MARK text" is a list item that begins the new page, not a lone dash on the old one.
  if (first !== undefined && second !== undefined && isMarks(second) && /^\s*(?:[-*+>]|\d+[.)])\s*$/.test(first)) {
    return [second, first + parts.slice(2).join("").replace(ANY_MARK, "").trimStart()];
  }
  return parts;
}

function isMarks(part: string): boolean {
  return part !== "" && part.replace(ANY_MARK, "").trim() === "" && MARKS.some((mark) => part.includes(mark));
}

/**
 * How many pages a run of marks turns. Word notes an explicit break again where it laid out the new page,
 * and a section's paragraph may also ask for its own page, so the kinds are not added up. At the start of
 * the document a paragraph that asks for a new page stands on one already.
 */
function countBreaks(marks: string, isStart: boolean): number {
  const kinds = isStart ? MARKS.filter((mark) => mark !== PAGE_MARKS.before) : MARKS;
  return Math.max(...kinds.map((mark) => marks.split(mark).length - 1));
}
