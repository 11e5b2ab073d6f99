import type { Block } from "./block.ts";

export type HeadingBlock = Extract<Block, { kind: "heading" }>;
export type ContentBlock = Exclude<Block, { kind: "heading" }>;

/** Content under one heading, with the heading lines directly above it. */
export interface Section {
  headings: { block: HeadingBlock; path: string[] }[];
  /** The headings above the content, outermost first; empty before the first heading. */
  path: string[];
  content: ContentBlock[];
}

/**
 * The sections of a document in reading order. A heading without content of its own goes to the section that follows,
 * because a chunk of nothing but a heading is found by every question about it and answers none; only at the end of
 * the document can a section be without content.
 */
export function splitSections(blocks: readonly Block[]): Section[] {
  const sections: Section[] = [];
  const open: HeadingBlock[] = [];
  let section: Section = { headings: [], path: [], content: [] };
  for (const block of blocks) {
    if (block.kind !== "heading") {
      section.content.push(block);
      continue;
    }
    if (section.content.length > 0) {
      sections.push(section);
      section = { headings: [], path: [], content: [] };
    }
    while ((open.at(-1)?.depth ?? 0) >= block.depth) open.pop();
    open.push(block);
    section.path = open.map((heading) => heading.title);
    section.headings.push({ block, path: section.path });
  }
  return section.content.length > 0 || section.headings.length > 0 ? [...sections, section] : sections;
}
