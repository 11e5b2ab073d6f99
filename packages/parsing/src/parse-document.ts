import type { Format } from "@pipeline/runtime";
import { createPageCollector } from "./page-collector.ts";
import { parserCrashed } from "./parse-errors.ts";
import { DEFAULT_PARSE_LIMITS } from "./parse-limits.ts";
import type { ParseLimits } from "./parse-limits.ts";
import type { ParsedDocument } from "./parsed-document.ts";
import { runInChild } from "./run-in-child.ts";

export interface ParseInput {
  path: string;
  format: Format;
  limits?: ParseLimits;
  /** Aborting kills the parser and ends the call with a transient `aborted`; the signal's reason is its cause. */
  signal?: AbortSignal;
  onProgress?: (progress: { pages_done: number; pages_total: number }) => void;
}

/**
 * Reads one document in a process of its own (see run-in-child.ts). The errors and their kinds are listed in
 * parse-errors.ts; a success holds the whole text.
 */
export async function parseDocument(input: ParseInput): Promise<ParsedDocument> {
  const { path, format, limits = DEFAULT_PARSE_LIMITS, signal } = input;
  const collector = createPageCollector(limits);
  return runInChild({
    request: { task: "parse", path, format, limits },
    signal,
    receive: (message): ParsedDocument | undefined => {
      switch (message.type) {
        case "progress":
          input.onProgress?.({ pages_done: message.pages_done, pages_total: message.pages_total });
          return undefined;
        case "page":
          collector.add({ page_number: message.page_number, text: message.text });
          return undefined;
        case "done": {
          const { parser, parser_version, title, notes, pages_total } = message;
          return { parser, parser_version, title, pages: collector.take(pages_total), notes };
        }
        case "counted":
          throw parserCrashed(new Error("The parser counted pages that it was to read."));
      }
    },
  });
}
