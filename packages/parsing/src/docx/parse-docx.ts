import { zipSync } from "fflate";
import mammoth from "mammoth";
import { AppError } from "@pipeline/runtime/errors";
import { htmlToMarkdown } from "../html/html-to-markdown.ts";
import { damagedFile, inflationLimit, passwordProtected } from "../parse-errors.ts";
import type { FormatInput } from "../parse-format.ts";
import type { ParsedDocument, ParsedPage, ParseNote } from "../parsed-document.ts";
import { readDocument } from "../read-document.ts";
import { inflateArchive, listArchive } from "../zip-archive.ts";
import type { ArchiveEntry } from "../zip-archive.ts";
import { MAIN_PART } from "./main-part.ts";
import { markPageBreaks } from "./page-marks.ts";
import { makeReadable } from "./readable-part.ts";
import { readRunningParts } from "./running-parts.ts";
import type { RunningText } from "./running-parts.ts";
import { splitMarkedPages } from "./split-pages.ts";
import { readWordStyles } from "./word-styles.ts";

/** mammoth's version, and after the plus the number of our own rules on what it reads. */
const VERSION = "1.13.0+3";

/**
 * A Word file as Markdown pages. The archive is inflated here, counted, and handed to mammoth as a plain
 * one, so mammoth never inflates anything. Page numbers are Word's own where the file tells them
 * (explicit breaks and the breaks of the last layout); a file without any is one page. Headers and footers are
 * read once, not on every page.
 *
 * Notes: `embedded_files_not_read`. Throws damaged_file, inflation_limit, password_protected.
 */
export async function parseDocx(input: FormatInput): Promise<ParsedDocument> {
  await refuseCompoundFile(input.path);
  const entries = await listArchive(input.path, input.limits);
  refuseNestedArchives(entries);
  const files = await inflateArchive({ path: input.path, limits: input.limits, wanted: isTextPart });
  const mainPart = [...files.keys()].find((name) => MAIN_PART.test(name));
  if (mainPart === undefined) throw damagedFile("The file holds no Word document.");

  const styles = readWordStyles(textOf(files, "word/styles.xml"));
  const main = makeReadable(textOf(files, mainPart));
  files.set(mainPart, Buffer.from(markPageBreaks(main, styles.stylesWithBreak)));
  const html = await convert(files, styles.headingMap);
  return {
    parser: "mammoth",
    parser_version: VERSION,
    title: titleOf(textOf(files, "docProps/core.xml")),
    pages: addRunningText(splitMarkedPages(htmlToMarkdown(html)), readRunningParts(files)),
    notes: embeddedNotes(entries),
  };
}

/** Headers come first on the first page, footers last on the last one, for Word prints them on pages that are not told. */
function addRunningText(pages: readonly ParsedPage[], { headers, footers }: RunningText): ParsedPage[] {
  return pages.map((page, index) => {
    const parts = [index === 0 ? headers : "", page.text, index === pages.length - 1 ? footers : ""];
    return { ...page, text: parts.filter((part) => part !== "").join("\n\n") };
  });
}

/** An encrypted Word file is no zip but a compound file. */
async function refuseCompoundFile(path: string): Promise<void> {
  const bytes = await readDocument(path);
  if (!bytes.subarray(0, 4).equals(Buffer.from("d0cf11e0", "hex"))) return;
  if (bytes.includes(Buffer.from("EncryptedPackage", "utf16le"))) throw passwordProtected();
  throw damagedFile("The file is an Office file of the old binary kind, not a .docx.");
}

/** Sheets and slides embedded by Word are common and stay closed; other archives have no business in a document. */
function refuseNestedArchives(entries: readonly ArchiveEntry[]): void {
  const nested = entries.find((entry) => /\.(?:zip|jar|7z|rar|gz|tgz|bz2|xz|zst|tar)$/i.test(entry.name));
  if (nested !== undefined) throw inflationLimit("The document holds another archive, which is not allowed.");
}

function embeddedNotes(entries: readonly ArchiveEntry[]): ParseNote[] {
  const embedded = entries.filter((entry) => /^word\/embeddings\/./.test(entry.name)).length;
  if (embedded === 0) return [];
  return [{ code: "embedded_files_not_read", message: `Embedded files were not read: ${embedded}.` }];
}

/** Pictures, fonts and embedded files are never inflated. */
function isTextPart(name: string): boolean {
  return /\.(?:xml|rels)$/i.test(name) && !/^word\/(?:media|embeddings|fonts)\//.test(name);
}

function textOf(files: ReadonlyMap<string, Buffer>, name: string): string {
  const bytes = files.get(name);
  return bytes === undefined ? "" : new TextDecoder("utf-8").decode(bytes);
}

async function convert(files: ReadonlyMap<string, Buffer>, headingMap: string[]): Promise<string> {
  try {
    const plain = zipSync(Object.fromEntries(files), { level: 0 });
    const result = await mammoth.convertToHtml(
      { buffer: Buffer.from(plain.buffer, plain.byteOffset, plain.byteLength) },
      {
        styleMap: headingMap,
        // A style map inside the document could hide its text.
        includeEmbeddedStyleMap: false,
        convertImage: mammoth.images.imgElement(() => Promise.resolve({ src: "" })),
      },
    );
    return result.value;
  } catch (error) {
    if (error instanceof AppError || error instanceof RangeError) throw error;
    throw damagedFile("The Word document is damaged: its parts cannot be read.", error);
  }
}

function titleOf(coreProperties: string): string | null {
  const title = /<dc:title>([^<]*)<\/dc:title>/.exec(coreProperties)?.[1] ?? "";
  return decodeEntities(title).trim() || null;
}

function decodeEntities(text: string): string {
  const names: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };
  return text.replace(/&(?:#x([\da-f]{1,6})|#(\d{1,7})|(\w+));/gi, (whole, hex, decimal, name) => {
    if (name !== undefined) return names[String(name)] ?? whole;
    const code = hex === undefined ? Number(decimal) : Number.parseInt(String(hex), 16);
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
}
