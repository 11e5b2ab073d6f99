// The expressions below are without the flag u where they repeat: with it their stack overflows on millions of characters.

/** One line without its line break. `start` and `end` are offsets in the document, `indent` counts columns (tab = to the next 4). */
export interface Line {
  text: string;
  start: number;
  end: number;
  indent: number;
}

/** The lines of a page, split at LF; a CR before it counts as white space. */
export function scanLines(page: string, offset: number): Line[] {
  const lines: Line[] = [];
  let start = 0;
  while (start <= page.length) {
    const found = page.indexOf("\n", start);
    const lineBreak = found === -1 ? page.length : found;
    const end = page.charAt(lineBreak - 1) === "\r" && lineBreak > start ? lineBreak - 1 : lineBreak;
    const text = page.slice(start, end);
    lines.push({ text, start: offset + start, end: offset + end, indent: indentOf(text) });
    start = lineBreak + 1;
  }
  return lines;
}

/** True past the last line too, so that every block ends there. */
export function isBlank(line: Line | undefined): boolean {
  return line === undefined || !/\S/u.test(line.text);
}

export function isAtxHeading(line: Line | undefined): boolean {
  return line !== undefined && line.indent < 4 && /^ {0,3}#{1,6}(?:[ \t]|$)/.test(line.text);
}

export function isThematicBreak(line: Line | undefined): boolean {
  if (line === undefined || line.indent >= 4 || !/^ {0,3}[-*_]/u.test(line.text)) return false;
  const marks = line.text.replaceAll(/[ \t]/gu, "");
  return marks.length >= 3 && marks === marks.charAt(0).repeat(marks.length);
}

/** True for a bullet or a number of at most nine digits, at any indent. */
export function isListItem(line: Line | undefined): boolean {
  return line !== undefined && /^[ \t]*(?:[-*+]|\d{1,9}[.)])(?:[ \t]|$)/.test(line.text);
}

/** True at the opening of fenced code, at any indent: inside of a list item it is indented. */
export function isFence(line: Line | undefined): boolean {
  return line !== undefined && /^[ \t]*(?:`{3,}[^`]*|~{3,}.*)$/.test(line.text);
}

/** True for "- ```": an item that begins with fenced code. */
export function isItemWithFence(line: Line | undefined): boolean {
  return isListItem(line) && /^[ \t]*\S+[ \t]+(?:`{3,}[^`]*|~{3,}.*)$/.test(line?.text ?? "");
}

/**
 * The index after the line that closes the fence opened at `at`. Without one, the fence ends before the first line
 * indented less than `column`, where the list item around it ends, or with the page.
 */
export function skipFence(lines: Line[], at: number, column = 0): number {
  const fence = fenceMarker(lines[at]?.text ?? "");
  for (let next = at + 1; next < lines.length; next += 1) {
    if (!isBlank(lines[next]) && (lines[next]?.indent ?? 0) < column) return next;
    if (closesFence(lines[next], fence)) return next + 1;
  }
  return lines.length;
}

/** True where a header line and a delimiter line (`| --- | :-: |`) follow each other. */
export function hasTableStart(lines: Line[], at: number): boolean {
  const header = lines[at];
  const delimiter = lines[at + 1];
  if (header === undefined || delimiter === undefined || isBlank(header) || delimiter.indent >= 4) return false;
  return header.text.includes("|") && isDelimiterRow(delimiter.text);
}

function isDelimiterRow(text: string): boolean {
  if (!/^[ \t]*[|:-]/.test(text) || !text.includes("|") || /[^|:\- \t]/u.test(text)) return false;
  const cells = text.trim().replace(/^\|/u, "").replace(/\|$/u, "").split("|");
  return cells.every((cell) => /^:?-+:?$/.test(cell.trim()));
}

function closesFence(line: Line | undefined, fence: string): boolean {
  const text = (line?.text ?? "").trim();
  return text.startsWith(fence) && fenceMarker(text) === text;
}

function fenceMarker(text: string): string {
  return /^[ \t]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)?(`{3,}|~{3,})/.exec(text)?.[1] ?? "";
}

function indentOf(text: string): number {
  let column = 0;
  for (let at = 0; at < text.length; at += 1) {
    const character = text.charAt(at);
    if (character === "\t") column += 4 - (column % 4);
    else if (character === " ") column += 1;
    else break;
  }
  return column;
}
