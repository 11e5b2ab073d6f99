import type { ChunkOptions } from "./chunk-options.ts";
import { countTokens } from "./count-tokens.ts";
import { draftText } from "./pack-units.ts";
import type { Draft } from "./pack-units.ts";

/** Neighbouring drafts that become one chunk. `tokens` is the sum of their sizes, a little above the real number. */
interface Group {
  drafts: Draft[];
  tokens: number;
  path: string[];
}

/** Tokens of the empty line between two drafts, and a reserve for what merging changes at the border. */
const JOIN_TOKENS = 2;

/**
 * Joins drafts below `minTokens` with a neighbour if the two fit into one chunk and belong together: the same section,
 * a section and one above it, or two orphans under the same heading. An orphan takes the path of the neighbour that it
 * joins; two orphans take the path that they share. Neighbours under different top-level headings stay apart.
 */
export function mergeOrphans(content: string, drafts: readonly Draft[], options: ChunkOptions): Draft[] {
  const groups: Group[] = [];
  for (const draft of drafts) {
    const next: Group = { drafts: [draft], tokens: draft.tokens, path: draft.path };
    const last = groups.at(-1);
    if (last === undefined || !canMerge(last, next, options)) {
      groups.push(next);
      continue;
    }
    last.path = mergedPath(last, next, options);
    last.tokens += next.tokens + JOIN_TOKENS;
    last.drafts.push(draft);
  }
  return groups.flatMap((group) => finishGroup(content, group, options));
}

function canMerge(last: Group, next: Group, options: ChunkOptions): boolean {
  const orphanCount = countOrphans([last, next], options);
  if (orphanCount === 0 || last.tokens + next.tokens + JOIN_TOKENS > options.maxTokens) return false;
  const sharedDepth = sharedPath(last.path, next.path).length;
  if (sharedDepth === Math.min(last.path.length, next.path.length)) return true;
  const areSiblings = last.path.length === next.path.length && sharedDepth === last.path.length - 1;
  return orphanCount === 2 && areSiblings && sharedDepth > 0;
}

function mergedPath(last: Group, next: Group, options: ChunkOptions): string[] {
  if (countOrphans([last, next], options) === 2) return sharedPath(last.path, next.path);
  return last.tokens < options.minTokens ? next.path : last.path;
}

function countOrphans(groups: Group[], options: ChunkOptions): number {
  return groups.filter((group) => group.tokens < options.minTokens).length;
}

function sharedPath(left: string[], right: string[]): string[] {
  const end = left.findIndex((title, depth) => title !== right[depth]);
  return end === -1 ? left : left.slice(0, end);
}

/** Sums are not exact, so the merged text is counted; should it be too large after all, the drafts stay as they were. */
function finishGroup(content: string, group: Group, options: ChunkOptions): Draft[] {
  const [first] = group.drafts;
  const last = group.drafts.at(-1);
  if (first === undefined || last === undefined || group.drafts.length === 1) return group.drafts;
  const merged = { start: first.start, end: last.end, header: first.header };
  const tokens = countTokens(draftText(content, merged));
  return tokens <= options.maxTokens ? [{ ...merged, tokens, path: group.path }] : group.drafts;
}
