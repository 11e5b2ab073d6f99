import { AppError } from "@pipeline/runtime";
import { damagedFile } from "../parse-errors.ts";
import type { FormatInput } from "../parse-format.ts";
import type { ParsedDocument, ParsedPage, ParseNote } from "../parsed-document.ts";
import { readDocument } from "../read-document.ts";
import { layoutPages } from "./layout-pages.ts";
import { checkPdfInflation } from "./pdf-inflation.ts";
import { PDFJS_VERSION, readPdfjs } from "./read-pdfjs.ts";

/** A page with less is most likely a picture of text. */
const MIN_PAGE_CHARS = 20;

/**
 * A PDF as Markdown pages: pdf.js first, pdfium where pdf.js gives up. Throws password_protected,
 * damaged_file, too_many_pages, text_too_large, inflation_limit.
 *
 * Notes: `page_without_text` (a candidate for OCR), `fallback_parser`, `xfa_form`.
 */
export async function parsePdf(input: FormatInput): Promise<ParsedDocument> {
  const bytes = await readDocument(input.path);
  refuseTruncated(bytes);
  await checkPdfInflation(bytes, input.limits);
  const document = await parseWithPdfjs({ ...input, bytes }).catch((error: unknown) => {
    // Our own errors (password, limits) would be the same with any parser.
    if (error instanceof AppError) throw error;
    return parseWithPdfium({ ...input, bytes });
  });
  return { ...document, notes: [...document.notes, ...emptyPageNotes(document.pages)] };
}

async function parseWithPdfjs(input: FormatInput & { bytes: Buffer }): Promise<ParsedDocument> {
  const { title, pages, notes } = await readPdfjs(input);
  return { parser: "pdfjs", parser_version: PDFJS_VERSION, title, pages: layoutPages(pages), notes };
}

async function parseWithPdfium(input: FormatInput & { bytes: Buffer }): Promise<ParsedDocument> {
  // Loaded only where it is needed: few files need it.
  const { PDFIUM_VERSION, readPdfium } = await import("./read-pdfium.ts");
  const pages = await readPdfium(input);
  const note = {
    code: "fallback_parser",
    message: "The PDF has faults; its text was read without headings and columns.",
  };
  return { parser: "pdfium", parser_version: PDFIUM_VERSION, title: null, pages, notes: [note] };
}

/** A web-optimised PDF says how long it is: a shorter one opens, but its later pages are missing. */
function refuseTruncated(bytes: Buffer): void {
  const head = bytes.toString("latin1", 0, 2048);
  const length = /\/Linearized\b[^>]*?\/L\s+(\d+)/.exec(head)?.[1];
  if (length === undefined || Number(length) <= bytes.length) return;
  throw damagedFile(`The PDF is truncated: it has ${bytes.length} of ${length} bytes.`);
}

function emptyPageNotes(pages: readonly ParsedPage[]): ParseNote[] {
  return pages
    .filter((page) => page.text.replace(/\s/g, "").length < MIN_PAGE_CHARS)
    .map((page) => ({
      code: "page_without_text",
      message: "The page holds no text; it may be a scan.",
      page_number: page.page_number,
    }));
}
