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

interface Part {
  /** The instructions of the open fields, innermost last. */
  fields: string[];
  text: string;
  hadNumber: boolean;
}

interface Tag {
  name: string;
  attributes: string;
  text: string;
}

/** The text of each paragraph; one inside a text box is a line of its own. */
function linesOf(xml: string): string[] {
  const names = "p|t|tab|br|smartTag|fldChar|instrText";
  const tag = new RegExp(`<(/?)${prefixOf(xml)}(${names})(?=[\\s/>])([^<>]*)>([^<]*)`, "g");
  const part: Part = { fields: [], text: "", hadNumber: false };
  const lines: string[] = [];
  for (const [, slash, name = "", attributes = "", text = ""] of xml.matchAll(tag)) {
    if (name === "p") lines.push(takeLine(part));
    else if (slash === "") openTag({ name, attributes, text }, part);
    else if (name === "smartTag") part.fields.pop();
  }
  lines.push(takeLine(part));
  return lines.filter((line) => line !== "");
}

function takeLine(part: Part): string {
  const line = part.text.replace(/\s+/g, " ").trim();
  const isNumber = part.hadNumber && !/[\p{L}\p{N}]/u.test(line.replace(PAGE_WORDS, ""));
  part.text = "";
  part.hadNumber = false;
  // A number that a damaged file does not end must not swallow the lines after it.
  part.fields = [];
  return isNumber ? "" : line;
}

/** A simple field is an element around its result; another one is begun and ended by marks, its instruction between. */
function openTag({ name, attributes, text }: Tag, part: Part): void {
  switch (name) {
    case "smartTag":
      if (!attributes.endsWith("/")) part.fields.push(/instr="([^"]*)"/.exec(attributes)?.[1] ?? "");
      break;
    case "fldChar":
      markField(attributes, part.fields);
      break;
    case "instrText":
      if (part.fields.length > 0) part.fields.push((part.fields.pop() ?? "") + text);
      break;
    default:
      addText(name === "t" ? text : " ", part);
  }
}

function markField(attributes: string, fields: string[]): void {
  if (attributes.includes('"begin"')) fields.push("");
  else if (attributes.includes('"end"')) fields.pop();
}

function addText(text: string, part: Part): void {
  if (PAGE_FIELD.test(part.fields.at(-1) ?? "")) part.hadNumber = true;
  else part.text += text;
}
