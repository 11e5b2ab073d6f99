import { declaredCharset, decodeText, isBinaryNoise } from "./decode-text.ts";
import type { ArchiveEntry } from "./zip-archive.ts";

/** What bytes look like, in words for people: "a PNG image", "a ZIP archive", "plain text". */
export async function describeBytes(head: Buffer): Promise<string> {
  // Asked about files that are refused, and by nothing else.
  const { fileTypeFromBuffer } = await import("file-type");
  // 4,100 bytes are what the library asks for; more would only let an archive inflate further.
  const type = await fileTypeFromBuffer(head.subarray(0, 4100)).catch(() => undefined);
  if (type !== undefined) return describeType(type.mime, type.ext);
  const decoded = decodeText(head, declaredCharset(head));
  if (isBinaryNoise(decoded.text)) return "binary data of an unknown kind";
  if (/<(?:!doctype html|html|head|body)[\s>]/i.test(decoded.text)) return "an HTML page";
  return decoded.text.trim() === "" ? "nothing but blanks" : "plain text";
}

/** Whether a zip is a Word file. Newer Office versions may number the main part (word/document2.xml). */
export function isWordArchive(entries: readonly ArchiveEntry[]): boolean {
  const names = entries.map((entry) => entry.name);
  return names.includes("[Content_Types].xml") && names.some((name) => /^word\/document\d*\.xml$/.test(name));
}

/** What a zip that is not a Word file is, by the names of its entries. */
export function describeEntries(entries: readonly ArchiveEntry[]): string {
  const holds = (prefix: string): boolean => entries.some((entry) => entry.name.startsWith(prefix));
  if (holds("xl/")) return "an Excel workbook (.xlsx)";
  if (holds("ppt/")) return "a PowerPoint presentation (.pptx)";
  if (holds("META-INF/container.xml")) return "an e-book (.epub)";
  if (holds("META-INF/manifest.xml") && holds("content.xml")) return "an OpenDocument file";
  return "a ZIP archive";
}

const NAMES: ReadonlyMap<string, string> = new Map([
  ["application/pdf", "a PDF document"],
  ["application/zip", "a ZIP archive"],
  ["application/gzip", "a gzip archive"],
  ["application/x-cfb", "an Office file of the old binary kind (.doc, .xls, .ppt)"],
  ["application/rtf", "a rich text (RTF) document"],
  ["application/xml", "an XML document"],
  ["application/vnd.openxmlformats-officedocument.wordprocessingml.document", "a Word document (.docx)"],
  ["application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "an Excel workbook (.xlsx)"],
  ["application/vnd.openxmlformats-officedocument.presentationml.presentation", "a PowerPoint presentation (.pptx)"],
]);

function describeType(mime: string, extension: string): string {
  const known = NAMES.get(mime);
  if (known !== undefined) return known;
  const label = extension.toUpperCase();
  const article = /^[AEFHILMNORSX]/.test(label) ? "an" : "a";
  const [family] = mime.split("/");
  if (family === "image") return `${article} ${label} image`;
  if (family === "video" || family === "audio") return `${article} ${label} ${family} file`;
  return `${article} ${label} file`;
}
