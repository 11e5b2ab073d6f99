import { readFile } from "node:fs/promises";
import { countTextPages } from "./count-text.ts";
import type { ParseInput } from "./parse-document.ts";
import { parserCrashed } from "./parse-errors.ts";
import { DEFAULT_PARSE_LIMITS } from "./parse-limits.ts";
import { runInChild } from "./run-in-child.ts";

export interface PageCount {
  /** From 1. Not exact: rather too many, for what a service may make of it that lays the text out itself. */
  page_count: number;
  /** The file itself has pages and says how many. */
  is_exact: boolean;
}

/** Longer than any file takes that can be read: 7,000 pages are counted in a second. */
const TIMEOUT_MS = 30_000;

/**
 * How many pages a document has, before anybody reads them. Looks at no page; whatever has to be taken apart for it is in
 * a process of its own, with the errors of parse-errors.ts. Limits of pages and text are not asked.
 */
export async function countPages(input: Omit<ParseInput, "onProgress">): Promise<PageCount> {
  const { path, format, limits = DEFAULT_PARSE_LIMITS, signal } = input;
  if (format === "text" || format === "markdown") {
    return { page_count: countTextPages(await readFile(path)), is_exact: false };
  }
  return runInChild({
    request: {
      task: "count",
      path,
      format,
      limits: { ...limits, timeoutMs: Math.min(limits.timeoutMs, TIMEOUT_MS) },
    },
    signal,
    receive: (message): PageCount => {
      if (message.type !== "counted") throw parserCrashed(new Error("The parser read pages that it was to count."));
      return { page_count: message.page_count, is_exact: message.is_exact };
    },
  });
}
