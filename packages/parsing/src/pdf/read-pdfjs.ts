import { fileURLToPath } from "node:url";
import { getDocument, PasswordException, VerbosityLevel, version } from "pdfjs-dist/legacy/build/pdf.mjs";
import type { PDFDocumentProxy, PDFPageProxy } from "pdfjs-dist/legacy/build/pdf.mjs";
import { z } from "zod";
import { passwordProtected, textTooLarge, tooManyPages } from "../parse-errors.ts";
import type { FormatInput } from "../parse-format.ts";
import type { ParseNote } from "../parsed-document.ts";
import { createBoldFonts } from "./bold-fonts.ts";
import { readFormValues } from "./form-values.ts";
import { groupByDirection } from "./text-direction.ts";
import type { PageItems } from "./text-item.ts";

export const PDFJS_VERSION = version;

export interface PdfContent {
  title: string | null;
  pages: PageItems[];
  notes: ParseNote[];
}

/**
 * The text items of every page, by pdf.js. Throws password_protected, too_many_pages and text_too_large;
 * whatever pdf.js itself throws passes through, for another parser may do better.
 *
 * Notes: `xfa_form` (a form whose real content is in a layer nobody but Adobe's reader shows).
 */
export async function readPdfjs(input: FormatInput & { bytes: Buffer }): Promise<PdfContent> {
  const task = getDocument({ ...OPTIONS, data: new Uint8Array(input.bytes) });
  try {
    const pdf = await task.promise;
    if (pdf.numPages > input.limits.maxPages) throw tooManyPages(pdf.numPages, input.limits.maxPages);
    const { title, notes } = await readMetadata(pdf);
    return { title, pages: await readPages(pdf, input), notes };
  } catch (error) {
    if (error instanceof PasswordException) throw passwordProtected(error);
    throw error;
  } finally {
    await task.destroy();
  }
}

/** Opens the file and looks at no page. Throws password_protected, and what pdf.js itself throws. */
export async function countPdfjs(bytes: Buffer): Promise<number> {
  const task = getDocument({ ...OPTIONS, data: new Uint8Array(bytes) });
  try {
    return (await task.promise).numPages;
  } catch (error) {
    if (error instanceof PasswordException) throw passwordProtected(error);
    throw error;
  } finally {
    await task.destroy();
  }
}

function assetFolder(name: string): string {
  return fileURLToPath(new URL(`${name}/`, import.meta.resolve("pdfjs-dist/package.json")));
}

const OPTIONS = {
  // Without these two, text in Chinese, Japanese and Korean fonts is lost.
  cMapUrl: assetFolder("cmaps"),
  standardFontDataUrl: assetFolder("standard_fonts"),
  cMapPacked: true,
  wasmUrl: assetFolder("wasm"),
  disableFontFace: true,
  useSystemFonts: false,
  isOffscreenCanvasSupported: false,
  isImageDecoderSupported: false,
  // No picture is worth decoding for its text.
  maxImageSize: 1,
  enableXfa: false,
  // The only place where a font's own name, and so its weight, can be read.
  fontExtraProperties: true,
  verbosity: VerbosityLevel.ERRORS,
};

async function readPages(pdf: PDFDocumentProxy, input: FormatInput): Promise<PageItems[]> {
  const isBold = createBoldFonts();
  const pages: PageItems[] = [];
  let chars = 0;
  for (let number = 1; number <= pdf.numPages; number += 1) {
    const page = await pdf.getPage(number);
    const groups = await readPage(page, isBold);
    page.cleanup();
    for (const group of groups) for (const item of group) chars += item.text.length;
    if (chars > input.limits.maxTextChars) throw textTooLarge(input.limits.maxTextChars);
    pages.push({ groups });
    input.onProgress(number, pdf.numPages);
  }
  return pages;
}

async function readPage(
  page: PDFPageProxy,
  boldFonts: ReturnType<typeof createBoldFonts>,
): Promise<PageItems["groups"]> {
  const content = await page.getTextContent({ includeMarkedContent: false });
  const items = content.items.flatMap((item) => ("str" in item ? [item] : []));
  const bold = await boldFonts.find(page, new Set(items.map((item) => item.fontName)));
  return groupByDirection({
    items,
    styles: content.styles,
    viewport: page.getViewport({ scale: 1 }).transform,
    isBold: (font) => bold.has(font),
    extra: await readFormValues(page),
  });
}

const metadataSchema = z.object({
  info: z.object({
    Title: z.string().optional().catch(undefined),
    IsXFAPresent: z.boolean().optional().catch(undefined),
  }),
});

async function readMetadata(pdf: PDFDocumentProxy): Promise<Pick<PdfContent, "title" | "notes">> {
  // A document with broken metadata is still a document.
  const metadata = metadataSchema.safeParse(await pdf.getMetadata().catch(() => undefined));
  if (!metadata.success) return { title: null, notes: [] };
  const { Title: title, IsXFAPresent: isXfa } = metadata.data.info;
  const notes =
    isXfa === true
      ? [{ code: "xfa_form", message: "The document is an XFA form; only its plain pages were read." }]
      : [];
  return { title: title?.trim() || null, notes };
}
