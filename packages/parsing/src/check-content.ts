import { open } from "node:fs/promises";
import { AppError, formatOfMime, type Format } from "@pipeline/runtime";
import { declaredCharset, decodeText, isBinaryNoise, isPlausibleLatin } from "./decode-text.ts";
import { describeBytes, describeEntries, isWordArchive } from "./describe-content.ts";
import { emptyFile, passwordProtected } from "./parse-errors.ts";
import { DEFAULT_PARSE_LIMITS } from "./parse-limits.ts";
import { listArchive } from "./zip-archive.ts";
import type { ArchiveEntry } from "./zip-archive.ts";

/** Enough to judge text by; the parser judges the rest. */
const HEAD_BYTES = 256 * 1024;
/** Where readers look for a PDF's header: mail gateways and web servers put bytes in front. */
const PDF_HEADER_WITHIN = 1024;

/** Any tag or entity: letters that mail programs wrote hold little else than <pre>, <font> or <center>. */
const HTML_TAG = /<(?:!doctype|!--|\/?[a-z][a-z0-9]*)(?:[\s>/]|$)|&(?:[a-z]{2,8}|#\d{1,7});/i;
const HTML_START = /^\s*(?:<\?xml[^>]*>\s*)?(?:<!--[\s\S]{0,2000}?-->\s*)?<(?:!doctype\s+html|html)[\s>]/i;

/**
 * The format of a stored file, taken from its media type and confirmed by its own bytes. Reads the first
 * 256 KiB and a Word file's directory; inflates nothing.
 *
 * Throws permanent errors: `unsupported_type` (a media type we do not take), `empty_file`,
 * `content_mismatch` (the bytes are something else, named in the message), `password_protected`
 * (an encrypted Word file).
 */
export async function checkContent(input: { path: string; mime: string }): Promise<Format> {
  const format = formatOfMime(input.mime);
  if (format === undefined) {
    throw new AppError({
      kind: "permanent",
      code: "unsupported_type",
      message: "Files of this type are not taken. Upload a PDF, Word (.docx), HTML, Markdown or text file.",
    });
  }
  const head = await readHead(input.path);
  if (head.length === 0) throw emptyFile();
  const found = await findMismatch({ path: input.path, format, head });
  if (found !== undefined) throw contentMismatch(format, found);
  return format;
}

/** What the bytes are when they are not `format`. */
async function findMismatch(input: { path: string; format: Format; head: Buffer }): Promise<string | undefined> {
  const { format, head, path } = input;
  switch (format) {
    case "pdf":
      return head.subarray(0, PDF_HEADER_WITHIN).includes("%PDF-") ? undefined : await describeBytes(head);
    case "docx":
      return findDocxMismatch(path, head);
    case "html":
      return findTextMismatch(head, (text) => (HTML_TAG.test(text) ? undefined : "plain text"));
    case "markdown":
    case "text":
      return findTextMismatch(head, (text) => (HTML_START.test(text) ? "an HTML page" : undefined));
  }
}

async function findDocxMismatch(path: string, head: Buffer): Promise<string | undefined> {
  if (isCompoundFile(head)) {
    if (await holdsUtf16(path, "EncryptedPackage")) throw passwordProtected();
    return "an Office file of the old binary kind (.doc, .xls, .ppt)";
  }
  if (!head.subarray(0, 4).equals(Buffer.from("PK\u0003\u0004"))) return describeBytes(head);
  const entries = await listReadableArchive(path);
  // A truncated archive has no directory. If its start is a Word file's, the parser says that it is damaged.
  if (entries === undefined) return head.includes("word/") ? undefined : "a damaged ZIP archive";
  return isWordArchive(entries) ? undefined : describeEntries(entries);
}

async function findTextMismatch(
  head: Buffer,
  check: (text: string) => string | undefined,
): Promise<string | undefined> {
  if (head.subarray(0, 5).equals(Buffer.from("%PDF-"))) return "a PDF document";
  if (head.subarray(0, 5).equals(Buffer.from("{\\rtf"))) return "a rich text (RTF) document";
  // An even cut keeps UTF-16 units whole.
  const decoded = decodeText(head.length % 2 === 0 ? head : head.subarray(0, -1), declaredCharset(head));
  if (isBinaryNoise(decoded.text)) return describeBytes(head);
  if (decoded.encoding === "windows-1252" && decoded.is_guess && !isPlausibleLatin(head)) {
    return "text in an encoding that the file does not name (save it as UTF-8)";
  }
  return check(decoded.text);
}

function contentMismatch(format: Format, found: string): AppError {
  return new AppError({
    kind: "permanent",
    code: "content_mismatch",
    message: `The file was announced as ${FORMAT_NAMES[format]} but its content is ${found}.`,
    details: { expected: format },
  });
}

const FORMAT_NAMES: Readonly<Record<Format, string>> = {
  pdf: "a PDF document",
  docx: "a Word document (.docx)",
  html: "an HTML page",
  markdown: "a Markdown text",
  text: "plain text",
};

async function readHead(path: string): Promise<Buffer> {
  const file = await open(path, "r");
  try {
    const buffer = Buffer.alloc(HEAD_BYTES);
    let length = 0;
    for (;;) {
      const { bytesRead } = await file.read(buffer, length, HEAD_BYTES - length, length);
      length += bytesRead;
      if (bytesRead === 0 || length === HEAD_BYTES) return buffer.subarray(0, length);
    }
  } finally {
    await file.close();
  }
}

/** The container of old Office files and of encrypted new ones. */
function isCompoundFile(head: Buffer): boolean {
  return head.subarray(0, 8).equals(Buffer.from("d0cf11e0a1b11ae1", "hex"));
}

/** Names of a compound file's streams stand in its directory sectors as UTF-16, anywhere in the file. */
async function holdsUtf16(path: string, name: string): Promise<boolean> {
  const wanted = Buffer.from(name, "utf16le");
  const file = await open(path, "r");
  try {
    let kept = Buffer.alloc(0);
    for await (const chunk of file.createReadStream()) {
      if (!Buffer.isBuffer(chunk)) continue;
      const window = Buffer.concat([kept, chunk]);
      if (window.includes(wanted)) return true;
      kept = window.subarray(-wanted.length);
    }
    return false;
  } finally {
    await file.close();
  }
}

async function listReadableArchive(path: string): Promise<ArchiveEntry[] | undefined> {
  try {
    return await listArchive(path, DEFAULT_PARSE_LIMITS);
  } catch (error) {
    if (error instanceof AppError && error.code === "damaged_file") return undefined;
    throw error;
  }
}
