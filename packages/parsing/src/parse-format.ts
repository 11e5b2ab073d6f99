import type { Format } from "@pipeline/runtime";
import type { ParseLimits } from "./parse-limits.ts";
import type { ParsedDocument } from "./parsed-document.ts";

export interface FormatInput {
  path: string;
  limits: ParseLimits;
  onProgress: (pagesDone: number, pagesTotal: number) => void;
}

/**
 * Reads a file with the parser of its format, in this process: only the child calls it. Parsers are
 * loaded when they are needed, for a text file should not wait for pdf.js (0.2 s).
 */
export async function parseFormat(input: FormatInput & { format: Format }): Promise<ParsedDocument> {
  switch (input.format) {
    case "pdf":
      return (await import("./pdf/parse-pdf.ts")).parsePdf(input);
    case "docx":
      return (await import("./docx/parse-docx.ts")).parseDocx(input);
    case "html":
      return (await import("./html/parse-html.ts")).parseHtml(input);
    case "markdown":
      return (await import("./parse-text.ts")).parseMarkdown(input);
    case "text":
      return (await import("./parse-text.ts")).parseText(input);
  }
}
