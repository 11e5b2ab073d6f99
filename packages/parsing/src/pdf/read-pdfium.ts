import { PDFiumLibrary } from "@hyzyla/pdfium";
import type { PDFiumDocument } from "@hyzyla/pdfium";
import { damagedFile, passwordProtected, textTooLarge, tooManyPages } from "../parse-errors.ts";
import type { FormatInput } from "../parse-format.ts";
import type { ParsedPage } from "../parsed-document.ts";

export const PDFIUM_VERSION = "2.1.13";

/**
 * The plain text of every page by pdfium, which opens some files that pdf.js refuses. It leaks between
 * documents, so its process must end after this one. Throws password_protected, damaged_file,
 * too_many_pages, text_too_large.
 */
export async function readPdfium(input: FormatInput & { bytes: Buffer }): Promise<ParsedPage[]> {
  const document = await openDocument(input.bytes);
  const total = countIn(document);
  if (total > input.limits.maxPages) throw tooManyPages(total, input.limits.maxPages);
  const pages: ParsedPage[] = [];
  let chars = 0;
  for (let index = 0; index < total; index += 1) {
    const text = readPage(document, index);
    chars += text.length;
    if (chars > input.limits.maxTextChars) throw textTooLarge(input.limits.maxTextChars);
    pages.push({ page_number: index + 1, text });
    input.onProgress(index + 1, total);
  }
  return pages;
}

/** Throws password_protected, damaged_file. */
export async function countPdfium(bytes: Buffer): Promise<number> {
  return countIn(await openDocument(bytes));
}

function countIn(document: PDFiumDocument): number {
  const total = document.getPageCount();
  if (total === 0) throw damagedFile("The PDF holds no readable page.");
  return total;
}

async function openDocument(bytes: Buffer): Promise<PDFiumDocument> {
  const library = await PDFiumLibrary.init();
  try {
    return await library.loadDocument(bytes);
  } catch (error) {
    if (error instanceof Error && /password/i.test(error.message)) throw passwordProtected(error);
    throw damagedFile("The PDF is truncated or damaged and cannot be read.", error);
  }
}

function readPage(document: PDFiumDocument, index: number): string {
  try {
    return document.getPage(index).getText().replace(LINE_END_HYPHEN, "").trim();
  } catch (error) {
    throw damagedFile(`Page ${index + 1} of the PDF is damaged and cannot be read.`, error);
  }
}

/** What pdfium gives for a hyphen that only the line's end asked for. */
const LINE_END_HYPHEN = /[\u0002\ufffe]\s*/g; // oxlint-disable-line eslint/no-control-regex -- U+0002 is that mark
