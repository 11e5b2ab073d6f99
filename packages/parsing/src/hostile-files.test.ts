import type { Format } from "@pipeline/runtime";
import { strToU8 } from "fflate";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeRawDocx, paragraph, run } from "./fixtures/make-docx.ts";
import { makeRawPdf } from "./fixtures/make-pdf.ts";
import { createTempFiles } from "./fixtures/temp-files.ts";
import type { TempFiles } from "./fixtures/temp-files.ts";
import { parseDocument } from "./parse-document.ts";

let files: TempFiles;

beforeAll(async () => {
  files = await createTempFiles();
});
afterAll(() => files.remove());

function docxWithStyles(styles: string): Uint8Array {
  return makeRawDocx(paragraph(run("a")), { "word/styles.xml": strToU8(`<w:styles>${styles}</w:styles>`) });
}

function docxWithHeader(header: string): Uint8Array {
  return makeRawDocx(paragraph(run("a")), { "word/header1.xml": strToU8(`<w:hdr>${header}</w:hdr>`) });
}

/** Each style is based on the one before. */
const styleChain = Array.from(
  { length: 15_000 },
  (_, index) => `<w:style w:type="paragraph" w:styleId="s${index}"><w:basedOn w:val="s${index - 1}"/></w:style>`,
).join("");

/** One paragraph of so many lines on one page, each of which ends in a hyphen. */
function longParagraph(lines: number): string {
  return `BT /F1 0.01 Tf 0.01 TL 72 760 Td ${"(of the plan that pays for what is long-) Tj T* ".repeat(lines)} ET`;
}

/** What the parser's deadline of two minutes would end is quadratic: any of these takes a second or two. */
test.each<[string, Format, string | Uint8Array, string]>([
  ["a heading with blanks in it", "markdown", `# a${" ".repeat(400_000)}b`, "read"],
  ["form feeds and blanks before a letter", "text", `${"\f ".repeat(1_000_000)}b`, "too_many_pages"],
  ["preformatted blanks", "html", `<html><body><pre>a${" ".repeat(1_000_000)}b</pre></body></html>`, "read"],
  ["no-break spaces", "html", `<html><body><p>a${"\u00a0".repeat(1_000_000)}b</p></body></html>`, "read"],
  ["tags that never end", "html", `<html><body>a${"<p ".repeat(300_000)}`, "read"],
  [
    "cells over all rows",
    "html",
    `<table><tr>${"<td rowspan=0>a".repeat(20_000)}${"<tr><td>b".repeat(20_000)}</table>`,
    "read",
  ],
  ["character data that never ends", "html", `<html><body>a${"<![CDATA[".repeat(200_000)}`, "read"],
  ["sections that never end", "docx", makeRawDocx("<w:sectPr ".repeat(150_000)), "damaged_file"],
  ["fields that never end", "docx", makeRawDocx("<w:fldSimple ".repeat(150_000)), "damaged_file"],
  ["a header that never ends", "docx", docxWithHeader("<w:t ".repeat(150_000) + "<w:p>a".repeat(150_000)), "read"],
  ["styles that never end", "docx", docxWithStyles("<w:style >".repeat(250_000)), "damaged_file"],
  ["styles based on each other", "docx", docxWithStyles(styleChain), "read"],
  ["a paragraph of many lines on one page", "pdf", makeRawPdf([longParagraph(32_000)]), "read"],
])(
  "%s (%s) cost no more than their length",
  async (name, format, content, outcome) => {
    const path = await files.write(name.replaceAll(" ", "-"), content);
    const parsed = parseDocument({ path, format }).then(() => "read");
    await expect(parsed.catch((error: { code: string }) => error.code)).resolves.toBe(outcome);
  },
  180_000,
);
