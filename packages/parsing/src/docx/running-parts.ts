import { htmlToMarkdown } from "../html/html-to-markdown.ts";
import { makeReadable } from "./readable-part.ts";
import { prefixOf } from "./word-prefix.ts";

export interface RunningText {
  headers: string;
  footers: string;
}

/**
 * What the headers and footers of a Word file say, as Markdown: each line once, however many parts repeat it, and without
 * page numbers, which the file does not know.
 */
export function readRunningParts(files: ReadonlyMap<string, Buffer>): RunningText {
  const lines = { hdr: new Set<string>(), ftr: new Set<string>() };
  for (const [name, bytes] of files) {
    if (!/^word\/[^/]+\.xml$/.test(name)) continue;
    const kind = /<(?:[\w-]+:)?(hdr|ftr)[\s>]/.exec(bytes.toString("latin1", 0, 1000))?.[1];
    if (kind !== "hdr" && kind !== "ftr") continue;
    const xml = makeReadable(new TextDecoder("utf-8").decode(bytes));
    for (const line of linesOf(xml)) if (!lines.hdr.has(line)) lines[kind].add(line);
  }
  return { headers: toMarkdown(lines.hdr), footers: toMarkdown(lines.ftr) };
}

/** The text is XML and escaped as HTML is. */
function toMarkdown(lines: ReadonlySet<string>): string {
  return lines.size === 0 ? "" : htmlToMarkdown([...lines].map((line) => `<p>${line}</p>`).join(""));
}

const PAGE_FIELD = /^\s*(?:PAGE|NUMPAGES|SECTIONPAGES)\b/i;
/** What is left of "Page 1 of 9" without its numbers. */
const PAGE_WORDS = /\b(?:page|of|seite|von|p[aá]gina|de|di|sur)\b/gi;

interface Field {
  instruction: string;
  isComplex: boolean;
}

interface Line {
  text: string;
  hadNumber: boolean;
}

/** The text of each paragraph; one inside a text box is a line of its own. */
function* linesOf(xml: string): Generator<string> {
  const prefix = prefixOf(xml);
  const names = "p|t|tab|br|smartTag|fldChar|instrText";
  const tag = new RegExp(`<(/?)${prefix}(${names})(?=[\\s/>])([^<>]*)>([^<]*)`, "g");
  const fields: Field[] = [];
  let line: Line = { text: "", hadNumber: false };
  for (const [, slash, name, attributes = "", text = ""] of xml.matchAll(tag)) {
    if (name === "p") {
      if (isLine(line)) yield line.text.replace(/\s+/g, " ").trim();
      line = { text: "", hadNumber: false };
    } else if (name === "t" || name === "tab" || name === "br") {
      if (slash === "/") continue;
      if (fields.some((field) => PAGE_FIELD.test(field.instruction))) line.hadNumber = true;
      else line.text += name === "t" ? text : " ";
    } else trackField(fields, { name, closes: slash === "/", attributes, text });
  }
  if (isLine(line)) yield line.text.replace(/\s+/g, " ").trim();
}

function isLine({ text, hadNumber }: Line): boolean {
  return hadNumber ? /[\p{L}\p{N}]/u.test(text.replace(PAGE_WORDS, "")) : text.trim() !== "";
}

/** A field is an element around its result, or three marks of which the last ends it. */
function trackField(
  fields: Field[],
  tag: { name: string | undefined; closes: boolean; attributes: string; text: string },
): void {
  const { name, closes, attributes, text } = tag;
  if (name === "smartTag") {
    if (closes) fields.pop();
    else if (!attributes.endsWith("/")) {
      fields.push({ instruction: /instr="([^"]*)"/.exec(attributes)?.[1] ?? "", isComplex: false });
    }
  } else if (name === "fldChar" && !closes) {
    if (attributes.includes('"begin"')) fields.push({ instruction: "", isComplex: true });
    else if (attributes.includes('"end"')) fields.pop();
  } else if (name === "instrText" && !closes) {
    const field = fields.at(-1);
    if (field?.isComplex === true) field.instruction += text;
  }
}
