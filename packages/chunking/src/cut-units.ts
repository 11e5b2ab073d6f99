import type { ListItem } from "./block.ts";
import { cutLines, cutSentences, measure } from "./cut-text.ts";
import type { Piece } from "./cut-text.ts";
import type { Range } from "./document-content.ts";
import type { ContentBlock, Section } from "./split-sections.ts";

/** The smallest part of a section that packing moves as a whole: a sentence, a list item, a whole table, a table row. */
export interface Unit extends Piece {
  path: string[];
  /** Set on a row of a table that was split: the header to repeat when a chunk starts with this row. */
  header: Piece | undefined;
  /** Whether the next chunk may repeat this unit. Table rows are not repeated; their header gives the context. */
  isOverlap: boolean;
}

/** What is left of a limit after a join with other text, whose tokens are not exactly the sum of the parts. */
const JOIN_TOKENS = 4;

/** The units of a section in reading order, none above `maxTokens`; the headings above it stick to the first unit. */
export function cutUnits(content: string, section: Section, maxTokens: number): Unit[] {
  const { own, stuck } = stickHeadings(content, section, maxTokens);
  const units: Unit[] = own;
  let heading = stuck;
  for (const block of section.content) {
    const limit = heading === undefined ? maxTokens : maxTokens - heading.tokens - JOIN_TOKENS;
    for (const unit of cutBlock(content, block, limit)) {
      const joined = heading === undefined ? undefined : measure(content, { start: heading.start, end: unit.end });
      if (heading !== undefined && (joined === undefined || joined.tokens > maxTokens)) {
        units.push({ ...notRepeatable(heading), path: section.path });
        units.push({ ...unit, path: section.path });
      } else {
        units.push({ ...unit, ...joined, path: section.path });
      }
      heading = undefined;
    }
  }
  return units;
}

/**
 * The last headings above the content, as long as they take no more than a quarter of a chunk, become part of its
 * first unit (`stuck`). What comes before them, or is longer, is text like any other (`own`).
 */
function stickHeadings(
  content: string,
  section: Section,
  maxTokens: number,
): { own: Unit[]; stuck: Piece | undefined } {
  const own: Unit[] = [];
  const sticky: Unit[] = [];
  let room = section.content.length > 0 ? Math.floor(maxTokens / 4) : -1;
  for (const { block, path } of section.headings.toReversed()) {
    const whole = measure(content, block.range);
    if (whole === undefined) continue;
    room -= whole.tokens + 1;
    const pieces = whole.tokens <= maxTokens ? [whole] : cutSentences(content, whole, maxTokens);
    for (const piece of pieces.toReversed()) (room >= 0 ? sticky : own).push({ ...notRepeatable(piece), path });
  }
  const [last] = sticky;
  const first = sticky.at(-1);
  const stuck =
    first === undefined || last === undefined ? undefined : measure(content, { start: first.start, end: last.end });
  return { own: own.toReversed(), stuck };
}

type Cut = Omit<Unit, "path">;

function cutBlock(content: string, block: ContentBlock, limit: number): Cut[] {
  if (block.kind === "table") return cutTable(content, block, limit);
  if (block.kind === "list") return block.items.flatMap((item) => cutListItem(content, item, limit)).map(repeatable);
  if (block.kind === "text") return cutSentences(content, block.range, limit).map(repeatable);
  return wholeOr(content, block.range, limit, () => cutLines(content, block.range, limit)).map(repeatable);
}

function cutListItem(content: string, item: ListItem, limit: number): Piece[] {
  return wholeOr(content, item.range, limit, () =>
    item.parts.flatMap((part) => wholeOr(content, part, limit, () => cutSentences(content, part, limit))),
  );
}

/**
 * A table whole if it fits, else its rows. The header sticks to the first row. A header above half a chunk would leave
 * no room for rows, so it is not repeated and its lines are cut like text.
 */
function cutTable(content: string, table: Extract<ContentBlock, { kind: "table" }>, limit: number): Cut[] {
  const whole = measure(content, table.range);
  if (whole !== undefined && whole.tokens <= limit) return [repeatable(whole)];
  const header = measure(content, table.header);
  if (header === undefined || header.tokens > limit / 2)
    return cutLines(content, table.range, limit).map(notRepeatable);
  const room = limit - header.tokens - JOIN_TOKENS;
  const rows = table.rows.flatMap((row) => wholeOr(content, row, room, () => cutSentences(content, row, room)));
  const [first, ...others] = rows.map((row) => rowUnder(header, row));
  if (first === undefined) return [notRepeatable(header)];
  const top = measure(content, { start: header.start, end: first.end });
  if (top === undefined || top.tokens > limit) return [notRepeatable(header), first, ...others];
  return [notRepeatable(top), ...others];
}

function wholeOr(content: string, range: Range, limit: number, cut: () => Piece[]): Piece[] {
  const whole = measure(content, range);
  if (whole === undefined) return [];
  return whole.tokens <= limit ? [whole] : cut();
}

function rowUnder(header: Piece, row: Piece): Cut {
  return { ...row, header, isOverlap: false };
}

function repeatable(piece: Piece): Cut {
  return { ...piece, header: undefined, isOverlap: true };
}

function notRepeatable(piece: Piece): Cut {
  return { ...piece, header: undefined, isOverlap: false };
}
