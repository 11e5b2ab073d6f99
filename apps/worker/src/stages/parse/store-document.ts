import { type Claim, type PageSource, type Queryable, replacePages, storePageSource } from "@pipeline/db";
import { boundTitle, type ParsedDocument } from "@pipeline/parsing";
import { boundNotes } from "../../bound-notes.ts";
import type { Advance } from "../../stage-handler.ts";

export interface ParsedBy {
  document: ParsedDocument;
  /** Of a provider's work. */
  submissionId?: string;
  /** Pages that it could not read. */
  failedPageCount?: number;
  /** Why this parser stood in for the configured one. */
  fallbackCode?: string;
  /** What the event says besides. */
  detail?: Record<string, unknown>;
  /** Further rows of the same transaction. */
  write?: (tx: Queryable) => Promise<void>;
}

/** The parsed document as the stage's outcome, with which parser made it in the event and beside the pages. */
export function storeDocument(job: Claim, parsed: ParsedBy): Advance {
  const { document, detail = {}, submissionId = null, fallbackCode = null, failedPageCount = 0 } = parsed;
  const { parser, parser_version, pages, notes } = document;
  const title = boundTitle(document.title);
  const source: PageSource = {
    parser,
    parser_version,
    submission_id: submissionId,
    fallback_code: fallbackCode,
  };
  return {
    kind: "advance",
    progress: {
      pages_done: pages.length,
      pages_total: pages.length,
      ...(failedPageCount > 0 ? { pages_failed: failedPageCount } : {}),
    },
    detail: { parser, parser_version, page_count: pages.length, ...detail, ...boundNotes(notes) },
    write: async (tx) => {
      await replacePages(tx, job, { title, pages });
      await storePageSource(tx, job, source);
      await parsed.write?.(tx);
    },
  };
}
