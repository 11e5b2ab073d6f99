import { type Claim, replacePages } from "@pipeline/db";
import { parseDocument } from "@pipeline/parsing";
import { boundNotes } from "../bound-notes.ts";
import type { StageContext, StageOutcome } from "../stage-handler.ts";

/** Reads the verified file into pages, in a process of its own. */
export async function parse(job: Claim, context: StageContext): Promise<StageOutcome> {
  const { path, format } = await context.file();
  const document = await parseDocument({
    path,
    format,
    signal: context.signal,
    onProgress: (counters) => context.progress(counters),
    ...(context.parseLimits === undefined ? {} : { limits: context.parseLimits }),
  });
  const { parser, parser_version, title, pages, notes } = document;
  return {
    kind: "advance",
    progress: { pages_done: pages.length, pages_total: pages.length },
    detail: { parser, parser_version, page_count: pages.length, ...boundNotes(notes) },
    write: (tx) => replacePages(tx, job, { title, pages }),
  };
}
