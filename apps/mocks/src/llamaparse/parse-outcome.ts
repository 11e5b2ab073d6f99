import type { Job, JobError, ParseOrder, ResultPage } from "./job.ts";
import type { Markers } from "./markers.ts";
import { listPageItems, plainText } from "./page-items.ts";
import { TIERS } from "./prices.ts";
import type { PagesRead } from "./read-pages.ts";

export type ParseOutcome =
  | { status: "SUCCESS" | "PARTIAL_SUCCESS"; pages: ResultPage[] }
  | { status: "ERROR"; error: NonNullable<Job["error"]> }
  | { status: "CANCELLED" };

/** How a job ends whose file was read, if it is not cancelled or too slow. */
export function judgeOutcome(
  read: PagesRead,
  { order, markers }: { order: ParseOrder; markers: Markers },
): ParseOutcome {
  if (!isKnownTier(order)) return failed("INVALID_TIER_VERSION_COMBINATION");
  if (markers.isCancelled) return { status: "CANCELLED" };
  if (markers.error !== undefined) return failed(markers.error);
  if ("error" in read) return failed(read.error);
  const pages = read.pages
    .map((md, index) => writePage(md, { page: index + 1, isFailed: markers.failedPages.includes(index + 1), order }))
    .filter(({ page }) => order.targetPages?.includes(page) ?? true)
    .slice(0, order.targetPages === undefined ? (order.maxPages ?? Infinity) : Infinity);
  if (pages.length === 0) return failed("NO_DATA_FOUND_IN_FILE");
  return judgePages(pages, order.failureTolerance ?? 1);
}

export function failed(code: JobError): ParseOutcome & { status: "ERROR" } {
  return { status: "ERROR", error: { code, message: MESSAGES[code] } };
}

/** A bad pair is taken at the upload and fails here. */
function isKnownTier({ tier, version }: ParseOrder): boolean {
  if (tier === undefined) return true;
  return TIERS.includes(tier) && version !== undefined && /^(latest|\d{4}-\d{2}-\d{2})$/.test(version);
}

function judgePages(pages: ResultPage[], tolerance: number): ParseOutcome {
  const failedCount = pages.filter(({ error }) => error !== undefined).length;
  if (failedCount === 0) return { status: "SUCCESS", pages };
  if (failedCount === pages.length || failedCount / pages.length > tolerance) return failed("PDF_IS_BROKEN");
  return { status: "PARTIAL_SUCCESS", pages };
}

function writePage(
  md: string,
  { page, isFailed, order }: { page: number; isFailed: boolean; order: ParseOrder },
): ResultPage {
  const text = plainText(md);
  if (!isFailed) return { page, md, text, items: listPageItems(md), error: undefined };
  const error = `Page ${page} could not be parsed.`;
  const substitutes = { raw_text: text, blank_page: "", error_message: error };
  const substitute = substitutes[order.layout.failedPage];
  return { page, md: substitute, text: substitute, items: [], error };
}

const MESSAGES: Readonly<Record<JobError, string>> = {
  UNSUPPORTED_FILE_TYPE: "The type of the file is not supported.",
  PDF_IS_PROTECTED: "The PDF is protected by a password.",
  PDF_IS_BROKEN: "The document could not be read.",
  NO_DATA_FOUND_IN_FILE: "No data was found in the file.",
  DOCUMENT_TOO_LARGE: "The document is too large.",
  TOO_MANY_PAGES: "The document has too many pages.",
  TIMEOUT: "The job took too long.",
  INVALID_TIER_VERSION_COMBINATION: "The tier does not exist in this version.",
};
