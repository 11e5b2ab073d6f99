import type { Block } from "./block.ts";
import { resolveChunkOptions } from "./chunk-options.ts";
import type { ChunkOptions } from "./chunk-options.ts";
import { forgetTokens } from "./count-tokens.ts";
import { cutUnits } from "./cut-units.ts";
import { documentContent, findPageIndex, pageRanges } from "./document-content.ts";
import type { Page, Range } from "./document-content.ts";
import { mergeOrphans } from "./merge-orphans.ts";
import { draftText, packUnits } from "./pack-units.ts";
import type { Draft } from "./pack-units.ts";
import { scanMarkdown, scanPlainText } from "./scan-blocks.ts";
import { splitSections } from "./split-sections.ts";

/** Part of every chunk's id. A change that cuts any document differently needs a new version. */
export const CHUNKER = { name: "structure", version: "1" } as const;

/** A passage of a document as it is stored, embedded and cited. */
export interface Chunk {
  /** 0, 1, 2, … in reading order. */
  ordinal: number;
  text: string;
  /** `countTokens(text)`; never above `maxTokens`. */
  token_count: number;
  /** Page numbers, as given, of the first and of the last character. */
  page_start: number;
  page_end: number;
  /**
   * Offsets in `documentContent`, in UTF-16 code units, end exclusive. `text` is that slice; where a table was split,
   * `text` is the table's header lines as they stand in the document + "\n" + that slice, and the slice starts at a row.
   */
  char_start: number;
  char_end: number;
  /** The headings above the text, the chunk's own included, outermost first. */
  section_path: string[];
}

export interface ChunkInput {
  pages: readonly Page[];
  /** False for plain text, where "# " is no heading. */
  markdown: boolean;
  options?: Partial<ChunkOptions>;
}

/**
 * Cuts a parsed document into chunks that follow its structure: sections, then tables, list items, code and paragraphs,
 * then sentences, words and, in a run without any, characters.
 *
 * - Every character that is not white space is in at least one chunk; starts and ends never go back; no chunk starts or
 *   ends with white space or inside a surrogate pair.
 * - Chunks of one section overlap by whole sentences, list items or blocks. Across a heading there is no overlap:
 *   the other section's sentences would stand under the wrong heading.
 * - The same input gives the same chunks; time and memory are linear in the length of the text.
 *
 * Throws `invalid` / `invalid_chunk_options`. A document without text has no chunks.
 */
export function chunkDocument(input: ChunkInput): Chunk[] {
  const options = resolveChunkOptions(input.options);
  const content = documentContent(input.pages);
  const ranges = pageRanges(input.pages);
  try {
    const drafts = splitSections(scanPages(input, ranges)).flatMap((section) =>
      packUnits(content, cutUnits(content, section, options.maxTokens), options),
    );
    const merged = mergeOrphans(content, drafts, options);
    return merged.map((draft, ordinal) => describeDraft(draft, { content, ordinal, pages: input.pages, ranges }));
  } finally {
    forgetTokens();
  }
}

function scanPages(input: ChunkInput, ranges: Range[]): Block[] {
  const scan = input.markdown ? scanMarkdown : scanPlainText;
  return input.pages.flatMap((page, index) => scan(page.text, ranges[index]?.start ?? 0));
}

function describeDraft(
  draft: Draft,
  document: { content: string; ordinal: number; pages: readonly Page[]; ranges: Range[] },
): Chunk {
  const { content, ordinal, pages, ranges } = document;
  return {
    ordinal,
    text: draftText(content, draft),
    token_count: draft.tokens,
    page_start: pages[findPageIndex(ranges, draft.start)]?.page_number ?? 1,
    page_end: pages[findPageIndex(ranges, draft.end - 1)]?.page_number ?? 1,
    char_start: draft.start,
    char_end: draft.end,
    section_path: draft.path,
  };
}
