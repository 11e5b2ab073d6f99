import { randomBytes } from "node:crypto";
import { PageBreak, Paragraph } from "docx";
import { strToU8 } from "fflate";
import type { Format } from "@pipeline/runtime";
import { afterAll, beforeAll, expect, test } from "vitest";
import { countPages } from "./count-pages.ts";
import { countDocx } from "./docx/count-docx.ts";
import { makeDocx, makeRawDocx, paragraph, run } from "./fixtures/make-docx.ts";
import { makeRawPdf } from "./fixtures/make-pdf.ts";
import { createTempFiles } from "./fixtures/temp-files.ts";
import type { TempFiles } from "./fixtures/temp-files.ts";
import { countHtml } from "./html/count-html.ts";
import { DEFAULT_PARSE_LIMITS } from "./parse-limits.ts";
import { countPdf } from "./pdf/count-pdf.ts";

let files: TempFiles;
beforeAll(async () => {
  files = await createTempFiles();
});
afterAll(() => files.remove());

let written = 0;

function write(format: Format, content: string | Uint8Array): Promise<string> {
  written += 1;
  return files.write(`${written}.${format}`, content);
}

async function count(format: Format, content: string | Uint8Array) {
  return countPages({ path: await write(format, content), format });
}

/** Some 40 bytes for each page. */
function makeThinPdf(pages: number): string {
  const ids = Array.from({ length: pages }, (_, index) => index + 3);
  return [
    "%PDF-1.7",
    "1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj",
    `2 0 obj<</Type/Pages/MediaBox[0 0 612 792]/Count ${pages}/Kids[${ids.map((id) => `${id} 0 R`).join(" ")}]>>endobj`,
    ...ids.map((id) => `${id} 0 obj<</Type/Page/Parent 2 0 R>>endobj`),
    `trailer<</Size ${pages + 3}/Root 1 0 R>>`,
    "%%EOF",
  ].join("\n");
}

test("a PDF says how many pages it has, however few or many bytes they take", async () => {
  expect(await count("pdf", makeThinPdf(700))).toEqual({ page_count: 700, is_exact: true });
  const heavy = makeRawPdf([randomBytes(500_000).toString("hex"), "", ""]);
  expect(await countPdf(await write("pdf", heavy))).toBe(3);
});

test("a PDF that nobody can open has no count", async () => {
  const broken = await write("pdf", "%PDF-1.7\nthis is no more than a beginning");
  await expect(countPages({ path: broken, format: "pdf" })).rejects.toMatchObject({ code: "damaged_file" });
});

test.each<[string, string, number]>([
  ["a line", "One line.", 1],
  ["nothing", "", 1],
  ["form feeds", "One.\f\fThree.", 3],
  ["a form feed at the end", "One.\fTwo.\f", 2],
  ["a long line", "a".repeat(10_000), 5],
  ["many lines", "a\n".repeat(400), 10],
])("plain text: %s", async (_, content, page_count) => {
  for (const format of ["text", "markdown"] as const) {
    expect(await count(format, content)).toEqual({ page_count, is_exact: false });
  }
});

test.each<[string, string, number]>([
  ["a sentence", "<html><body><p>One sentence.</p></body></html>", 1],
  ["text", `<p>${"words ".repeat(2_000)}</p>`, 6],
  ["rows", `<table>${"<tr><td>1</td></tr>".repeat(400)}</table>`, 10],
  ["what nobody sees", `<SCRIPT>${"if (a < b) c();".repeat(9_000)}</SCRIPT><style>${"p {}".repeat(9_000)}</style>a`, 1],
  ["comments", `<!-- ${"<p>".repeat(9_000)} --> a`, 1],
  ["blanks", `a${" ".repeat(100_000)}b`, 1],
  ["tags that never end", `a${"<p ".repeat(300_000)}`, 1],
  ["scripts that never end", `a${"<script>".repeat(300_000)}`, 1],
])("HTML: %s", (_, content, page_count) => {
  expect(countHtml(Buffer.from(content))).toBe(page_count);
});

const told = (pages: number) => ({ "docProps/app.xml": strToU8(`<Properties><Pages>${pages}</Pages></Properties>`) });
const PICTURE = "<w:r><w:drawing/></w:r>";

test.each<[string, Uint8Array, number]>([
  ["a sentence", makeRawDocx(paragraph(run("One sentence."))), 1],
  ["text", makeRawDocx(paragraph(run("words ".repeat(2_000)))), 6],
  ["what Word counted", makeRawDocx(paragraph(run("One.")), told(12)), 12],
  ["what Word laid out", makeRawDocx(paragraph("<w:r><w:lastRenderedPageBreak/></w:r>".repeat(4))), 5],
  ["pictures", makeRawDocx(paragraph(PICTURE.repeat(3))), 4],
  ["sections", makeRawDocx(paragraph("", "<w:sectPr/>").repeat(2) + "<w:sectPr/>"), 3],
])("Word: %s", async (_, content, page_count) => {
  expect(await countDocx({ path: await write("docx", content), limits: DEFAULT_PARSE_LIMITS })).toBe(page_count);
});

test("what is no PDF is estimated in a process of its own as well", async () => {
  const broken = new Paragraph({ children: [new PageBreak()] });
  const word = await makeDocx([{ children: [new Paragraph("One."), broken, broken] }]);
  expect(await count("docx", word)).toEqual({ page_count: 3, is_exact: false });
  expect(await count("html", "<p>One sentence.</p>")).toEqual({ page_count: 1, is_exact: false });
});

test("counting is ended like reading: by its limits, and by its signal", async () => {
  const path = await files.write("limited.pdf", makeThinPdf(3));
  const limits = { ...DEFAULT_PARSE_LIMITS, timeoutMs: 1 };
  await expect(countPages({ path, format: "pdf", limits })).rejects.toMatchObject({ code: "parse_timeout" });
  const signal = AbortSignal.abort();
  await expect(countPages({ path, format: "pdf", signal })).rejects.toMatchObject({ code: "aborted" });
});
