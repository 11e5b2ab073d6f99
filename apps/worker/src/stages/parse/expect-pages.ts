import { countPages, tooManyPages } from "@pipeline/parsing";
import { AppError, LIMITS } from "@pipeline/runtime";
import type { VerifiedFile } from "../../claim-file.ts";
import type { StageContext } from "../../stage-handler.ts";

/** One page over the limit is ordered, so that longer documents are noticed: no more are ever read, nor paid. */
const MOST_PAGES = LIMITS.maxPages + 1;

/**
 * How many pages of the document the provider will read at most, before anything is ordered; all that may be where that
 * cannot be told. Throws `too_many_pages` where the file itself says that it has more than are allowed.
 */
export async function expectPages(file: VerifiedFile, context: StageContext): Promise<number> {
  const { log, parseLimits: limits, signal } = context;
  try {
    const { page_count, is_exact } = await countPages({ ...file, signal, ...(limits === undefined ? {} : { limits }) });
    if (is_exact && page_count > LIMITS.maxPages) throw tooManyPages(page_count, LIMITS.maxPages);
    return Math.min(page_count, MOST_PAGES);
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof AppError) || error.code === "too_many_pages") throw error;
    // What cannot be read here may be read there.
    log.info({ code: error.code }, "pages not counted");
    return MOST_PAGES;
  }
}
