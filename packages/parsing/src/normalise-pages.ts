import type { Format } from "@pipeline/runtime";
import { normaliseText } from "./normalise-text.ts";
import { noText } from "./parse-errors.ts";
import type { ParsedPage, ParseNote } from "./parsed-document.ts";
import { removeRunningLines } from "./running-lines.ts";

/**
 * Pages ready to be split: clean text without running headers and footers. Page numbers stay, also those
 * of pages that become empty. Notes: `running_lines_removed`. Throws a permanent `no_text` where nothing
 * that can be searched is left: a PDF without a letter, anything else without a letter or digit.
 */
export function normalisePages(input: { pages: ParsedPage[]; format: Format }): {
  pages: ParsedPage[];
  notes: ParseNote[];
} {
  const clean = input.pages.map(({ page_number, text }) => ({ page_number, text: normaliseText(text) }));
  refuseEmpty(clean, input.format);
  const { pages, removedTotal } = removeRunningLines(clean);
  if (removedTotal === 0) return { pages, notes: [] };
  return {
    // What was around a removed line may now be blank lines at an edge.
    pages: pages.map(({ page_number, text }) => ({ page_number, text: normaliseText(text) })),
    notes: [
      { code: "running_lines_removed", message: `Repeated headers and footers were left out: ${removedTotal} lines.` },
    ],
  };
}

function refuseEmpty(pages: readonly ParsedPage[], format: Format): void {
  // A scan often carries page numbers as its only text.
  const printed = format === "pdf" ? /\p{L}/u : /[\p{L}\p{N}]/u;
  if (pages.some((page) => printed.test(page.text))) return;
  throw noText(
    format === "pdf" ? "The document contains no text; it may be a scan." : "The document contains no text.",
  );
}
