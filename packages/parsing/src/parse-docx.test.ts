import { randomBytes } from "node:crypto";
import { HeadingLevel, ImageRun, PageBreak, Paragraph, Table, TableCell, TableRow, TextRun } from "docx";
import { strToU8, zipSync } from "fflate";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeDocx, makeRawDocx, paragraph, run } from "./fixtures/make-docx.ts";
import { createTempFiles } from "./fixtures/temp-files.ts";
import type { TempFiles } from "./fixtures/temp-files.ts";
import { parseFormat } from "./parse-format.ts";
import { DEFAULT_PARSE_LIMITS } from "./parse-limits.ts";
import type { ParseLimits } from "./parse-limits.ts";

let files: TempFiles;

beforeAll(async () => {
  files = await createTempFiles();
});
afterAll(() => files.remove());

async function parseDocx(content: Uint8Array, limits: Partial<ParseLimits> = {}) {
  const path = await files.write(`${randomBytes(4).toString("hex")}.docx`, content);
  return parseFormat({
    path,
    format: "docx",
    limits: { ...DEFAULT_PARSE_LIMITS, ...limits },
    onProgress: () => undefined,
  });
}

async function pagesOf(body: string, parts: Parameters<typeof makeRawDocx>[1] = {}): Promise<string[]> {
  const { pages } = await parseDocx(makeRawDocx(body, parts));
  expect(pages.map((page) => page.page_number)).toEqual(pages.map((_, index) => index + 1));
  return pages.map((page) => page.text);
}

const RENDERED = "<w:r><w:lastRenderedPageBreak/></w:r>";
const MANUAL = '<w:r><w:br w:type="page"/></w:r>';

const raised = (text: string) => `<w:r><w:rPr><w:vertAlign w:val="superscript"/></w:rPr><w:t>${text}</w:t></w:r>`;

describe("what a Word file says", () => {
  test("headings, lists and tables come out as Markdown, with the title of the properties", async () => {
    const content = await makeDocx(
      [
        {
          children: [
            new Paragraph({ text: "Policy", heading: HeadingLevel.HEADING_1 }),
            new Paragraph({ text: "Cover", heading: HeadingLevel.HEADING_2 }),
            new Paragraph({
              children: [new TextRun("We pay "), new TextRun({ text: "everything", bold: true }), new TextRun(".")],
            }),
            new Paragraph({ text: "Crowns", bullet: { level: 0 } }),
            new Paragraph({ text: "Fillings", bullet: { level: 0 } }),
            new Table({
              rows: [
                new TableRow({ children: [tableCell("Benefit"), tableCell("Limit")] }),
                new TableRow({ children: [tableCell("Crowns"), tableCell("保険 900 €")] }),
              ],
            }),
          ],
        },
      ],
      { title: "Terms & conditions" },
    );
    const document = await parseDocx(content);
    expect(document).toMatchObject({ parser: "mammoth", title: "Terms & conditions", notes: [] });
    expect(document.pages).toEqual([
      {
        page_number: 1,
        text: [
          "# Policy",
          "## Cover",
          "We pay **everything**.",
          "- Crowns\n- Fillings",
          "| Benefit | Limit |\n| --- | --- |\n| Crowns | 保険 900 € |",
        ].join("\n\n"),
      },
    ]);
  });

  test("a superscript at an amount is no part of it, an ordinal stays as it is", async () => {
    const body = paragraph(run("The 1") + raised("st") + run(" $500") + raised("2") + run(" of 10") + raised("6"));
    await expect(pagesOf(body)).resolves.toEqual(["The 1st $500^(2) of 10^(6)"]);
  });

  test("a heading style of the document's own is a heading by what it is based on", async () => {
    const styles = `<w:styles xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">
      <w:style w:type="paragraph" w:styleId="berschrift2"><w:name w:val="heading 2"/></w:style>
      <w:style w:type="paragraph" w:styleId="Kapitel"><w:name w:val="Kapitel"/><w:basedOn w:val="berschrift2"/></w:style>
      <w:style w:type="paragraph" w:styleId="Rubrik"><w:name w:val="Rubrik"/><w:pPr><w:outlineLvl w:val="2"/></w:pPr></w:style>
    </w:styles>`;
    const body =
      paragraph(run("Leistungen"), '<w:pStyle w:val="Kapitel"/>') +
      paragraph(run("Zahn"), '<w:pStyle w:val="Rubrik"/>') +
      paragraph(run("Text"));
    await expect(pagesOf(body, { "word/styles.xml": strToU8(styles) })).resolves.toEqual([
      "## Leistungen\n\n### Zahn\n\nText",
    ]);
  });

  test.each([
    [
      "fields",
      run("Dear ") +
        `<w:fldSimple w:instr=" MERGEFIELD Name ">${run("«Ms Zebra»")}</w:fldSimple><w:fldSimple w:instr=" TITLE "/>` +
        run(", your policy"),
      "Dear «Ms Zebra», your policy",
    ],
    ["directions", `<w:dir w:val="rtl">${run("a ")}</w:dir><w:bdo w:val="ltr">${run("b")}</w:bdo>`, "a b"],
    [
      "what ruby stands over",
      `<w:r><w:ruby><w:rubyPr/><w:rt>${run("hoken")}</w:rt><w:rubyBase>${run("保険")}</w:rubyBase></w:ruby></w:r>`,
      "保険",
    ],
    ["words between which only the layout stands", "<w:r><w:t>a</w:t><w:cr/><w:t>b</w:t></w:r>", "a  \nb"],
  ])("%s are read", async (_, content, expected) => {
    await expect(pagesOf(paragraph(content))).resolves.toEqual([expected]);
  });

  test("elements are told by the namespace, whatever its prefix", async () => {
    const part = `<x:document xmlns:x="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><x:body><x:p><x:fldSimple x:instr="DATE"><x:r><x:t>1 May</x:t></x:r></x:fldSimple></x:p></x:body></x:document>`;
    await expect(pagesOf("", { "word/document.xml": strToU8(part) })).resolves.toEqual(["1 May"]);
  });

  test("a formula is a line of text", async () => {
    const sum = `<m:nary><m:naryPr><m:chr m:val="∑"/></m:naryPr><m:sub>${mathRun("i")}</m:sub><m:sup/><m:e>${mathRun("x")}</m:e></m:nary>`;
    const formula = `<m:oMathPara xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"><m:oMath>${mathRun("premium × ")}<m:f><m:fPr><m:ctrlPr><w:rPr/></m:ctrlPr></m:fPr><m:num>${mathRun("1")}</m:num><m:den>${mathRun("2")}</m:den></m:f>${mathRun(" + ")}${sum}</m:oMath></m:oMathPara>`;
    await expect(pagesOf(paragraph(run("Pays ") + formula + run(".")))).resolves.toEqual([
      "Pays premium × (1)/(2) + ∑_(i)x.",
    ]);
  });

  test("headers and footers stand once before and after the text, without page numbers", async () => {
    const header = `${paragraph(run("Policy AB-1 &amp; annex"))}${paragraph(run(""))}`;
    const number = `<w:r><w:fldChar w:fldCharType="begin"/></w:r><w:r><w:instrText> PAGE </w:instrText></w:r><w:r><w:fldChar w:fldCharType="separate"/></w:r>${run("7")}<w:r><w:fldChar w:fldCharType="end"/></w:r>`;
    const total = `<w:fldSimple w:instr=" NUMPAGES ">${run("9")}</w:fldSimple>`;
    const footer = `${paragraph(run("Page ") + number + run(" of ") + total)}${paragraph(run("Effective May 1, ") + number)}`;
    const parts = {
      "word/header1.xml": runningPart("hdr", header),
      "word/header2.xml": runningPart("hdr", header),
      "word/footer1.xml": runningPart("ftr", footer),
    };
    const body = paragraph(run("a") + MANUAL) + paragraph(run("b")) + paragraph(MANUAL);
    await expect(pagesOf(body, parts)).resolves.toEqual(["Policy AB-1 & annex\n\na", "b\n\nEffective May 1,"]);
  });

  test("a cell over several rows is repeated in each, and its page break is not", async () => {
    const rows = [
      rawRow(paragraph(run("Plan")), paragraph(run("Pays"))),
      `<w:tr>${mergedCell(' w:val="restart"', RENDERED + run("Gold"))}<w:tc>${paragraph(run("$10"))}</w:tc></w:tr>`,
      `<w:tr>${mergedCell("", "")}<w:tc>${paragraph(run("$50"))}</w:tc></w:tr>`,
    ];
    await expect(pagesOf(`<w:tbl>${rows.join("")}</w:tbl>`)).resolves.toEqual([
      "| Plan | Pays |\n| --- | --- |",
      "| Gold | $10 |\n| Gold | $50 |",
    ]);
  });

  test("pictures leave nothing behind", async () => {
    const { pages } = await parseDocx(await makePictureDocx());
    expect(pages.map((page) => page.text)).toEqual(["before\n\nafter"]);
  });
});

describe("pages of a Word file", () => {
  test("the docx library's page breaks, page-break-before and sections each begin a page", async () => {
    const content = await makeDocx([
      {
        children: [
          new Paragraph({ children: [new TextRun("one"), new PageBreak(), new TextRun("two")] }),
          new Paragraph({ text: "three", pageBreakBefore: true }),
        ],
      },
      { children: [new Paragraph("four")] },
    ]);
    const { pages } = await parseDocx(content);
    expect(pages).toEqual(["one", "two", "three", "four"].map((text, index) => ({ page_number: index + 1, text })));
  });

  test.each([
    ["no break is one page", paragraph(run("a")) + paragraph(run("b")), ["a\n\nb"]],
    ["Word's last layout tells the pages", paragraph(run("a")) + paragraph(RENDERED + run("b")), ["a", "b"]],
    [
      "a paragraph that runs over the page's end is cut there",
      paragraph(run("a b ") + RENDERED + run("c d")),
      ["a b", "c d"],
    ],
    [
      "an explicit break that Word notes again counts once",
      paragraph(run("a") + MANUAL) + paragraph(RENDERED + run("b")),
      ["a", "b"],
    ],
    [
      "two explicit breaks leave an empty page",
      paragraph(run("a") + MANUAL) + paragraph(MANUAL) + paragraph(run("b")),
      ["a", "", "b"],
    ],
    ["a break at the end begins no page", paragraph(run("a")) + paragraph(MANUAL), ["a"]],
    ["a first paragraph stands on the first page", paragraph(run("a"), "<w:pageBreakBefore/>"), ["a"]],
    [
      "page-break-before may be switched off",
      paragraph(run("a")) + paragraph(run("b"), '<w:pageBreakBefore w:val="0"/>'),
      ["a\n\nb"],
    ],
    [
      "a section breaks the page unless the next one goes on where it is",
      paragraph(run("a"), "<w:sectPr/>") +
        paragraph(run("b"), '<w:sectPr><w:type w:val="nextPage"/></w:sectPr>') +
        paragraph(run("c")) +
        '<w:sectPr><w:type w:val="continuous"/></w:sectPr>',
      ["a", "b\n\nc"],
    ],
    [
      "bold text on both sides of a break stays bold",
      paragraph('<w:r><w:rPr><w:b/></w:rPr><w:t>x</w:t><w:br w:type="page"/><w:t>y</w:t></w:r>'),
      ["**x**", "**y**"],
    ],
  ])("%s", async (_, body, expected) => {
    await expect(pagesOf(body)).resolves.toEqual(expected);
  });

  test("a table's row is not torn where the page breaks inside a cell", async () => {
    const body = `<w:tbl>${rawRow(paragraph(run("h1")), paragraph(run("h2")))}${rawRow(paragraph(run("a")), paragraph(RENDERED + run("b")))}</w:tbl>`;
    await expect(pagesOf(body)).resolves.toEqual(["| h1 | h2 |\n| --- | --- |", "| a | b |"]);
  });
});

describe("Word files that cannot be read", () => {
  test.each([
    ["a truncated file", makeRawDocx(paragraph(run("hello"))).subarray(0, 600)],
    ["a PDF", Buffer.from("%PDF-1.7\nnot a zip")],
    ["a zip of something else", zipSync({ "a.txt": strToU8("a") })],
    ["a main part that is no XML", makeRawDocx("<w:p><w:r></w:p>")],
  ])("%s is damaged_file", async (_, content) => {
    await expect(parseDocx(content)).rejects.toMatchObject({ kind: "permanent", code: "damaged_file" });
  });

  test("an encrypted file is password_protected", async () => {
    const content = Buffer.concat([
      Buffer.from("d0cf11e0a1b11ae1", "hex"),
      Buffer.alloc(999),
      Buffer.from("EncryptedPackage", "utf16le"),
    ]);
    await expect(parseDocx(content)).rejects.toMatchObject({ code: "password_protected" });
  });

  test("an empty file is empty_file", async () => {
    await expect(parseDocx(new Uint8Array())).rejects.toMatchObject({ code: "empty_file" });
  });

  test("a zip bomb ends in inflation_limit", async () => {
    const bomb = makeRawDocx(paragraph(run("x".repeat(40_000_000))));
    expect(bomb.length).toBeLessThan(100_000);
    await expect(parseDocx(bomb)).rejects.toMatchObject({ kind: "too_large", code: "inflation_limit" });
  });

  test("a zip bomb whose directory lies about its size is stopped as well", async () => {
    const bomb = Buffer.from(makeRawDocx(paragraph(run("x".repeat(40_000_000)))));
    const size = Buffer.alloc(4);
    const name = Buffer.from("word/document.xml");
    // The uncompressed size stands 22 bytes before the name in a central directory entry.
    const entry = bomb.lastIndexOf(name);
    size.writeUInt32LE(1000);
    size.copy(bomb, entry - 22);
    await expect(parseDocx(bomb)).rejects.toMatchObject({
      code: expect.stringMatching(/^(?:inflation_limit|damaged_file)$/),
    });
  });

  test("an archive inside, or too many parts, end in inflation_limit", async () => {
    const nested = makeRawDocx(paragraph(run("a")), { "word/media/more.zip": zipSync({}) });
    await expect(parseDocx(nested)).rejects.toMatchObject({ code: "inflation_limit" });
    await expect(parseDocx(makeRawDocx(paragraph(run("a"))), { maxArchiveEntries: 2 })).rejects.toMatchObject({
      code: "inflation_limit",
    });
  });

  test("embedded sheets are noted as not read", async () => {
    const content = makeRawDocx(paragraph(run("a")), { "word/embeddings/Sheet1.xlsx": strToU8("whatever") });
    await expect(parseDocx(content)).resolves.toMatchObject({ notes: [{ code: "embedded_files_not_read" }] });
  });
});

function tableCell(text: string): TableCell {
  return new TableCell({ children: [new Paragraph(text)] });
}

function rawRow(...cells: string[]): string {
  return `<w:tr>${cells.map((cell) => `<w:tc>${cell}</w:tc>`).join("")}</w:tr>`;
}

function mergedCell(value: string, content: string): string {
  return `<w:tc><w:tcPr><w:vMerge${value}/></w:tcPr>${paragraph(content)}</w:tc>`;
}

function mathRun(text: string): string {
  return `<m:r><m:rPr/><w:rPr/><m:t>${text}</m:t></m:r>`;
}

function runningPart(name: "hdr" | "ftr", content: string): Uint8Array {
  return strToU8(
    `<?xml version="1.0"?><w:${name} xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">${content}</w:${name}>`,
  );
}

function makePictureDocx(): Promise<Uint8Array> {
  const png = Buffer.from(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
    "base64",
  );
  const image = new ImageRun({ type: "png", data: png, transformation: { width: 10, height: 10 } });
  return makeDocx([
    { children: [new Paragraph("before"), new Paragraph({ children: [image] }), new Paragraph("after")] },
  ]);
}
