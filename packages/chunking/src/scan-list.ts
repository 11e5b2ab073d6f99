import type { ListItem, Scanned } from "./block.ts";
import {
  hasTableStart,
  isAtxHeading,
  isBlank,
  isFence,
  isItemWithFence,
  isListItem,
  isThematicBreak,
  skipFence,
} from "./scan-lines.ts";
import type { Line } from "./scan-lines.ts";

/**
 * The list that starts at line `at`, if one does. An item holds its continuation lines, the items nested in it and
 * indented code; the list ends at a heading, a rule, or a line that is not indented after an empty one.
 */
export function scanList(lines: Line[], at: number): Scanned | undefined {
  const first = lines[at];
  return first !== undefined && isListItem(first) ? scanItems(lines, at, first) : undefined;
}

function scanItems(lines: Line[], at: number, first: Line): Scanned {
  const starts: { line: number; isNested: boolean }[] = [];
  let next = at;
  let end = at;
  let column = 0;
  let isLazy = true;
  while (!endsList(lines, { next, column, isLazy })) {
    const line = lines[next] ?? first;
    if (isListItem(line)) {
      starts.push({ line: next, isNested: next > at && line.indent >= column });
      if (starts.at(-1)?.isNested === false) column = contentColumn(line);
    }
    isLazy = !isBlank(line) && !opensFence(line);
    next = skipLine(lines, next, column);
    if (!isBlank(line)) end = next;
  }
  const items = groupItems(lines, { starts, end });
  return { block: { kind: "list", range: { start: first.start, end: endOf(lines, end) }, items }, next: end };
}

function skipLine(lines: Line[], at: number, column: number): number {
  const line = lines[at];
  return line !== undefined && opensFence(line) ? skipFence(lines, at, column) : at + 1;
}

function opensFence(line: Line): boolean {
  return isFence(line) || isItemWithFence(line);
}

/** A line left of the item's text goes on with its paragraph as long as that is open (`isLazy`). */
function endsList(lines: Line[], position: { next: number; column: number; isLazy: boolean }): boolean {
  const { next, column, isLazy } = position;
  const line = lines[next];
  if (line === undefined || isThematicBreak(line)) return true;
  if (isBlank(line)) return false;
  if (isListItem(line) || line.indent >= column) return false;
  return !isLazy || isAtxHeading(line) || isFence(line) || hasTableStart(lines, next);
}

function groupItems(lines: Line[], list: { starts: { line: number; isNested: boolean }[]; end: number }): ListItem[] {
  const items: ListItem[] = [];
  for (const [index, { line, isNested }] of list.starts.entries()) {
    const range = { start: lines[line]?.start ?? 0, end: endOf(lines, list.starts[index + 1]?.line ?? list.end) };
    const item = items.at(-1);
    if (item === undefined || !isNested) {
      items.push({ range, parts: [range] });
    } else {
      item.parts.push(range);
      item.range = { start: item.range.start, end: range.end };
    }
  }
  return items;
}

function endOf(lines: Line[], next: number): number {
  return lines[next - 1]?.end ?? 0;
}

/** The column that lines must reach to belong to the item: the one after its marker and a space. */
function contentColumn(item: Line): number {
  return item.indent + (/\S+/u.exec(item.text)?.[0].length ?? 1) + 1;
}
