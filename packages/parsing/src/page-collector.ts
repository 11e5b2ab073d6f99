import { parserCrashed, textTooLarge, tooManyPages } from "./parse-errors.ts";
import type { ParseLimits } from "./parse-limits.ts";
import type { ParsedPage } from "./parsed-document.ts";

export interface PageCollector {
  /** Throws where a page is out of order or the limits are passed. */
  add: (page: ParsedPage) => void;
  /** All pages; throws where the count is not `expected`. */
  take: (expected: number) => ParsedPage[];
}

/** Gathers the pages a child sends one by one. The child checks the limits too, but it may be the part that is broken. */
export function createPageCollector(limits: Pick<ParseLimits, "maxPages" | "maxTextChars">): PageCollector {
  const pages: ParsedPage[] = [];
  let chars = 0;
  return {
    add(page) {
      if (page.page_number !== pages.length + 1)
        throw parserCrashed(new Error("The parser sent its pages out of order."));
      chars += page.text.length;
      if (chars > limits.maxTextChars) throw textTooLarge(limits.maxTextChars);
      if (page.page_number > limits.maxPages) throw tooManyPages(page.page_number, limits.maxPages);
      pages.push(page);
    },
    take(expected) {
      if (pages.length !== expected) throw parserCrashed(new Error("Some of the parser's pages did not arrive."));
      return pages;
    },
  };
}
