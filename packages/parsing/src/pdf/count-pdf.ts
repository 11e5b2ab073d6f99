import { AppError } from "@pipeline/runtime/errors";
import { readDocument } from "../read-document.ts";
import { countPdfjs } from "./read-pdfjs.ts";

/** Pages of a PDF as it tells them: pdf.js first, pdfium where pdf.js gives up. Throws password_protected, damaged_file. */
export async function countPdf(path: string): Promise<number> {
  const bytes = await readDocument(path);
  try {
    const pages = await countPdfjs(bytes);
    if (pages > 0) return pages;
  } catch (error) {
    if (error instanceof AppError) throw error;
  }
  const { countPdfium } = await import("./read-pdfium.ts");
  return countPdfium(bytes);
}
