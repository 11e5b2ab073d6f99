import type { ChunkOptions } from "./chunk-options.ts";
import { countTokens } from "./count-tokens.ts";
import type { Piece } from "./cut-text.ts";
import type { Unit } from "./cut-units.ts";

/** A chunk before orphans are merged. `tokens` counts the text of the range with the repeated header. */
export interface Draft extends Piece {
  path: string[];
  /** Table header that is repeated before the text of the range. */
  header: Piece | undefined;
}

/** Indices of units: `first` up to but not including `next`; those before `fresh` were in the chunk before. */
interface Span {
  first: number;
  fresh: number;
  next: number;
}

interface Packing {
  content: string;
  units: readonly Unit[];
  /** Tokens of each unit with the white space up to the next one. */
  sizes: readonly number[];
  options: ChunkOptions;
}

/**
 * Fills chunks with the units of one section, in order. The next chunk repeats as many whole units from the end of the
 * last one as `overlapTokens` allow. Sizes are added up from the units' own counts, and the finished text is counted
 * once (again only if the sum was too low), so the time is linear.
 */
export function packUnits(content: string, units: readonly Unit[], options: ChunkOptions): Draft[] {
  const sizes = units.map(
    (unit, at) => unit.tokens + gapTokens(content.slice(unit.end, units[at + 1]?.start ?? unit.end)),
  );
  const packing: Packing = { content, units, sizes, options };
  const drafts: Draft[] = [];
  let fresh = 0;
  let earliest = 0;
  while (fresh < units.length) {
    const first = findOverlapStart(packing, { fresh, earliest });
    const { draft, span } = finishDraft(packing, fillSpan(packing, { first, fresh, next: fresh + 1 }));
    drafts.push(draft);
    fresh = span.next;
    // A chunk that held the whole of the one before would only repeat it.
    earliest = span.first + 1;
  }
  return drafts;
}

/** The text of a draft: the repeated header and a line break, if there is one, and the slice. */
export function draftText(content: string, draft: Pick<Draft, "start" | "end" | "header">): string {
  const slice = content.slice(draft.start, draft.end);
  const { header } = draft;
  return header === undefined ? slice : `${content.slice(header.start, header.end)}\n${slice}`;
}

function gapTokens(gap: string): number {
  // A single space becomes part of the token of the word after it.
  return gap.length <= 1 ? Number(gap === "\n") : countTokens(gap);
}

function findOverlapStart(packing: Packing, { fresh, earliest }: { fresh: number; earliest: number }): number {
  const { units, sizes, options } = packing;
  let room = Math.min(options.overlapTokens, options.maxTokens - (units[fresh]?.tokens ?? 0));
  let first = fresh;
  while (first > earliest && units[first - 1]?.isOverlap === true) {
    room -= sizes[first - 1] ?? 0;
    if (room < 0) break;
    first -= 1;
  }
  return first;
}

function fillSpan(packing: Packing, span: Span): Span {
  const { units, sizes, options } = packing;
  let used = units[span.first]?.header?.tokens ?? 0;
  for (const size of sizes.slice(span.first, span.next)) used += size;
  let { next } = span;
  for (const unit of unitsFrom(units, next)) {
    if (used + unit.tokens > options.maxTokens) break;
    used += sizes[next] ?? 0;
    next += 1;
  }
  return { ...span, next };
}

function* unitsFrom(units: readonly Unit[], first: number): Generator<Unit> {
  for (let at = first; at < units.length; at += 1) {
    const unit = units[at];
    if (unit !== undefined) yield unit;
  }
}

/** Counts the real text. Sums are not exact; where it is above the limit, less goes into the chunk. */
function finishDraft(packing: Packing, filled: Span): { draft: Draft; span: Span } {
  const { content, options } = packing;
  let span = filled;
  let range = draftRange(packing.units, span);
  let tokens = countTokens(draftText(content, range));
  while (tokens > options.maxTokens && span.next - span.first > 1) {
    span = shrinkSpan(span);
    range = draftRange(packing.units, span);
    tokens = countTokens(draftText(content, range));
  }
  if (tokens > options.maxTokens) {
    // A row that fits only without the header: by itself every unit was counted and fits.
    range = { ...range, header: undefined };
    tokens = countTokens(draftText(content, range));
  }
  return { draft: { ...range, tokens }, span };
}

/** First gives up the overlap, then the last units. */
function shrinkSpan(span: Span): Span {
  return span.first < span.fresh ? { ...span, first: span.first + 1 } : { ...span, next: span.next - 1 };
}

function draftRange(units: readonly Unit[], span: Span): Omit<Draft, "tokens"> {
  const first = units[span.first];
  const last = units[span.next - 1];
  return { start: first?.start ?? 0, end: last?.end ?? 0, header: first?.header, path: last?.path ?? [] };
}
