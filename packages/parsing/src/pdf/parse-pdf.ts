import { AppError } from "@pipeline/runtime/errors";
import { damagedFile } from "../parse-errors.ts";
import type { FormatInput } from "../parse-format.ts";
import type { ParsedDocument, ParsedPage, ParseNote } from "../parsed-document.ts";
import { readDocument } from "../read-document.ts";
import { layoutPages } from "./layout-pages.ts";
import { checkPdfInflation } from "./pdf-inflation.ts";
import { PDFJS_VERSION, readPdfjs } from "./read-pdfjs.ts";

/** A page with less is most likely a picture of text. */
const MIN_PAGE_CHARS = 20;
/** Mail gateways add bytes behind a PDF, mostly few. */
const END_WITHIN_BYTES = 65_536;
/** An update begins right behind the end of what it updates. */
const UPDATE_WITHIN_BYTES = 1024;
/** Below this share of letters and digits a page's fonts lack the table that says which character a glyph is. */
const MIN_READABLE_SHARE = 0.3;

/**
 * A PDF as Markdown pages: pdf.js first, pdfium where pdf.js gives up. Throws password_protected,
 * damaged_file, too_many_pages, text_too_large, inflation_limit, xfa_form_unsupported.
 *
 * Notes: `page_without_text` and `page_text_unreadable` (candidates for OCR), `fallback_parser`, `xfa_form`.
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
  refusePlaceholder(document.pages);
  return { ...document, notes: [...document.notes, ...pageNotes(document.pages)] };
}

async function parseWithPdfjs(input: FormatInput & { bytes: Buffer }): Promise<ParsedDocument> {
  const { title, pages, notes } = await readPdfjs(input);
  // Such a file's tree of pages is broken or empty: pdfium finds its pages, or tells that it has none.
  if (pages.length === 0) throw new Error("The PDF holds no page that pdf.js finds.");
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

/**
 * A PDF ends with a marker; of 977 test files, many of them broken on purpose, 4 have none near their end.
 * A web-optimised PDF also says how long it is:
 * a shorter one opens, but its later pages are missing.
 */
function refuseTruncated(bytes: Buffer): void {
  if (!hasEnd(bytes)) {
    throw damagedFile("The PDF is truncated: its end is missing.");
  }
  const head = bytes.toString("latin1", 0, 2048);
  const length = /\/Linearized\b[^>]*?\/L\s+(\d+)/.exec(head)?.[1];
  if (length === undefined || Number(length) <= bytes.length) return;
  throw damagedFile(`The PDF is truncated: it has ${bytes.length} of ${length} bytes.`);
}

/** An end that more than a few bytes follow is one, unless what follows is the PDF's next part, whose own end is missing. */
function hasEnd(bytes: Buffer): boolean {
  const end = Math.max(bytes.lastIndexOf("%%EOF"), bytes.lastIndexOf("startxref"));
  if (end === -1) return false;
  if (end >= bytes.length - END_WITHIN_BYTES) return true;
  return !/\b\d+\s+\d+\s+obj\b|\bendstream\b/.test(bytes.toString("latin1", end, end + UPDATE_WITHIN_BYTES));
}

function pageNotes(pages: readonly ParsedPage[]): ParseNote[] {
  return pages.flatMap(({ page_number, text }) => {
    // Dots lead the eye in a table of contents; they say nothing about the fonts.
    const printed = text.replace(/[\s.…·⋯_|-]/g, "");
    if (text.replace(/\s/g, "").length < MIN_PAGE_CHARS) {
      return [{ code: "page_without_text", message: "The page holds no text; it may be a scan.", page_number }];
    }
    const readable = printed.match(/[\p{L}\p{M}\p{N}]/gu)?.length ?? 0;
    if (printed.length < MIN_PAGE_CHARS || readable >= printed.length * MIN_READABLE_SHARE) return [];
    return [{ code: "page_text_unreadable", message: "The page's fonts do not tell their characters.", page_number }];
  });
}

/** What dynamic forms show in every reader but Adobe's; their real content is not in their pages. */
function refusePlaceholder(pages: readonly ParsedPage[]): void {
  const isPlaceholder = pages.some((page) => /not eventually replaced by the proper\s+contents/.test(page.text));
  if (!isPlaceholder || pages.length > 2) return;
  throw new AppError({
    kind: "permanent",
    code: "xfa_form_unsupported",
    message: "The PDF is a dynamic XFA form without readable pages. Print it to a PDF and upload that.",
  });
}
