import type { Format } from "@pipeline/runtime";
import type { PageCount } from "./count-pages.ts";
import { countTextPages } from "./count-text.ts";
import type { ParseLimits } from "./parse-limits.ts";
import { readDocument } from "./read-document.ts";

export interface CountInput {
  path: string;
  format: Format;
  limits: ParseLimits;
}

/** Counts in this process: only the child calls it. */
export async function countFormat({ path, format, limits }: CountInput): Promise<PageCount> {
  switch (format) {
    case "pdf":
      return { page_count: await (await import("./pdf/count-pdf.ts")).countPdf(path), is_exact: true };
    case "docx":
      return { page_count: await (await import("./docx/count-docx.ts")).countDocx({ path, limits }), is_exact: false };
    case "html":
      return {
        page_count: (await import("./html/count-html.ts")).countHtml(await readDocument(path)),
        is_exact: false,
      };
    case "markdown":
    case "text":
      return { page_count: countTextPages(await readDocument(path)), is_exact: false };
  }
}
