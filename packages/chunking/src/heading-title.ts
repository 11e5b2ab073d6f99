import { codePointBoundary } from "./count-tokens.ts";

/** Longest heading in a section path, in UTF-16 code units: a path is a label, and it is embedded with every chunk. */
const MAX_TITLE = 200;
/** How much of a heading is looked at; the expressions below are quadratic on text made to hurt them. */
const MAX_SOURCE = 400;

/** A heading's Markdown as plain text on one line, without emphasis, links and tags. Empty when nothing is left. */
export function headingTitle(markdown: string): string {
  const plain = markdown
    .slice(0, MAX_SOURCE)
    .replace(/[ \t]+#+[ \t]*$/u, "")
    .replace(/!?\[([^\]]*)\]\([^)]*\)/gu, "$1")
    .replace(/<\/?[a-z][^>]*>/giu, "")
    .replace(/(\*{1,3}|~~|`{1,3})(\S(?:.*?\S)?)\1/gu, "$2")
    .replace(/(?<![\p{L}\p{N}])(_{1,3})(\S(?:.*?\S)?)\1(?![\p{L}\p{N}])/gu, "$2")
    .replace(/\\([!-/:-@[-`{-~])/gu, "$1")
    .replace(/\s+/gu, " ")
    .trim();
  if (plain.length <= MAX_TITLE) return plain;
  return plain.slice(0, codePointBoundary(plain, MAX_TITLE - 1)).trimEnd();
}
