import { decodeText, isBinaryNoise } from "./decode-text.ts";
import type { FormatInput } from "./parse-format.ts";
import { damagedFile } from "./parse-errors.ts";
import type { ParsedDocument, ParseNote } from "./parsed-document.ts";
import { readDocument } from "./read-document.ts";

/** Plain text as it stands; a form feed begins a page. Notes: `encoding_guessed`. */
export async function parseText(input: FormatInput): Promise<ParsedDocument> {
  const { text, notes } = await readText(input);
  return { parser: "text", parser_version: "1", title: null, pages: splitPages(text), notes };
}

/** Markdown as it stands, without its YAML front matter, whose title becomes the document's. */
export async function parseMarkdown(input: FormatInput): Promise<ParsedDocument> {
  const { text, notes } = await readText(input);
  const { title, body } = takeFrontMatter(text);
  return {
    parser: "markdown",
    parser_version: "2",
    title: title ?? firstHeading(body),
    pages: splitPages(body),
    notes,
  };
}

async function readText(input: FormatInput): Promise<{ text: string; notes: ParseNote[] }> {
  const decoded = decodeText(await readDocument(input.path));
  if (isBinaryNoise(decoded.text)) throw damagedFile("The file holds binary data between its text.");
  return { text: decoded.text, notes: encodingNotes(decoded) };
}

/** One note where the encoding had to be guessed: some characters may be wrong. */
export function encodingNotes(decoded: { encoding: string; is_guess: boolean }): ParseNote[] {
  if (!decoded.is_guess) return [];
  return [
    { code: "encoding_guessed", message: `The file does not name its encoding; it was read as ${decoded.encoding}.` },
  ];
}

function splitPages(text: string): ParsedDocument["pages"] {
  // A form feed at the very end closes the last page; it does not begin another.
  const close = text.indexOf("\f", text.trimEnd().length);
  return (close === -1 ? text : text.slice(0, close))
    .split("\f")
    .map((page, index) => ({ page_number: index + 1, text: page }));
}

function takeFrontMatter(text: string): { title: string | null; body: string } {
  const match = /^---[ \t]*\r?\n([\s\S]*?)\r?\n(?:---|\.\.\.)[ \t]*(?:\r?\n|$)/.exec(text);
  const matter = match?.[1];
  if (match === null || matter === undefined || !isYaml(matter)) return { title: null, body: text };
  const title = /^title\s*:\s*(.+)$/im.exec(matter)?.[1]?.trim();
  return { title: title === undefined ? null : unquote(title), body: text.slice(match[0].length) };
}

/** Between two rules at the top of a text may be text: one line that YAML would not have, and all of it stays. */
function isYaml(matter: string): boolean {
  let value: string | undefined;
  for (const line of matter.split(/\r?\n/)) {
    if (line.trim() === "" || line.startsWith("#")) continue;
    const next = /^(?:[\w.-]+|"[^"]*"|'[^']*')[ \t]*:(?:[ \t]+(.*)|)$/.exec(line);
    if (next !== null) value = next[1]?.trim() ?? "";
    else if (value === undefined || !continues(line, value)) return false;
  }
  return value !== undefined;
}

/** Items follow a key without a value, the end of a list its beginning; anything else is indented. */
function continues(line: string, value: string): boolean {
  if (/^[ \t]/.test(line)) return true;
  if (/^-(?:[ \t]|$)/.test(line)) return value === "" || value.startsWith("#");
  return /^[\]}][ \t]*$/.test(line) && /^[[{]/.test(value);
}

function unquote(value: string): string | null {
  const inner = /^(["'])(.*)\1$/.exec(value)?.[2] ?? value;
  return inner.trim() === "" ? null : inner.trim();
}

function firstHeading(text: string): string | null {
  const line = /^#[ \t]+(\S.*)$/m.exec(text)?.[1]?.trimEnd() ?? "";
  // An expression for the closing marks would take the third power of a run of blanks.
  let end = line.length;
  while (line.charAt(end - 1) === "#") end -= 1;
  return line.slice(0, end).trimEnd() || null;
}
