import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makePdf, makeRawPdf, showLines } from "./fixtures/make-pdf.ts";
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

async function parsePdf(content: Uint8Array, limits: Partial<ParseLimits> = {}) {
  const path = await files.write(`${randomBytes(4).toString("hex")}.pdf`, content);
  return parseFormat({
    path,
    format: "pdf",
    limits: { ...DEFAULT_PARSE_LIMITS, ...limits },
    onProgress: () => undefined,
  });
}

describe("what a PDF says", () => {
  test("headings, paragraphs, bullets and pages come out as Markdown", async () => {
    const sentence = "The plan pays for the treatment that a doctor finds necessary, up to the limit of the year. ";
    const content = await makePdf(
      (pdf) => {
        pdf.addPage().fontSize(26).text("Benefit Booklet").moveDown();
        pdf.fontSize(17).text("Dental care").moveDown().fontSize(11).text(sentence.repeat(4)).moveDown();
        pdf.text("• Check-ups").text("• Fillings").moveDown();
        pdf.font("Helvetica-Bold").text("Exclusions").moveDown().font("Helvetica").text(sentence.repeat(3));
        pdf.addPage().fontSize(17).text("Eye care").moveDown().fontSize(11).text(sentence.repeat(5));
      },
      { info: { Title: "Booklet 2026" } },
    );

    const document = await parsePdf(content);

    expect(document).toMatchObject({ parser: "pdfjs", title: "Booklet 2026", notes: [] });
    expect(document.pages.map((page) => page.page_number)).toEqual([1, 2]);
    const [first, second] = document.pages.map((page) => page.text);
    expect(first).toBe(
      [
        "# Benefit Booklet",
        "## Dental care",
        sentence.repeat(4).trim(),
        "- Check-ups\n- Fillings",
        "### Exclusions",
        sentence.repeat(3).trim(),
      ].join("\n\n"),
    );
    expect(second).toBe(`## Eye care\n\n${sentence.repeat(5).trim()}`);
  });

  test("the cells of a table's row stay on one line", async () => {
    const rows = [
      ["Benefit", "Limit", "Share"],
      ["Crowns", "1,200 EUR", "80 %"],
      ["Root canal", "900 EUR", "90 %"],
    ];
    const content = await makePdf((pdf) => {
      pdf.addPage().fontSize(11).text("What we pay for each benefit, in euros, for each year of the contract.", 72, 72);
      // Column by column, as some programs write: the order on paper counts, not the order in the file.
      for (const column of [0, 1, 2]) {
        for (const [index, row] of rows.entries()) pdf.text(row[column] ?? "", 72 + column * 150, 120 + index * 18);
      }
    });
    const document = await parsePdf(content);
    expect(document.pages[0]?.text).toContain(
      "Benefit | Limit | Share\nCrowns | 1,200 EUR | 80 %\nRoot canal | 900 EUR | 90 %",
    );
  });

  test("a table's bold first row is a row, a bold numbered title is a heading", async () => {
    const content = await makePdf((pdf) => {
      pdf
        .addPage()
        .fontSize(11)
        .text("A line of plain text that sets the size of the body of this page.".repeat(4), 72, 72);
      pdf.font("Helvetica-Bold").text("1.2", 72, 140).text("Limits", 110, 140);
      pdf.text("Benefit", 72, 170).text("Limit", 200, 170);
      pdf
        .font("Helvetica")
        .text("Crowns", 72, 186)
        .text("900 EUR", 200, 186)
        .text("Implants", 72, 202)
        .text("1200 EUR", 200, 202);
    });
    const document = await parsePdf(content);
    expect(document.pages[0]?.text).toMatch(
      /\n\n# 1\.2 Limits\n\nBenefit \| Limit\nCrowns \| 900 EUR\nImplants \| 1200 EUR$/,
    );
  });

  test("columns of prose are read one after the other", async () => {
    const content = await makePdf((pdf) => {
      pdf.addPage().fontSize(10);
      pdf.text(wordsOf("left"), 60, 100, { width: 220 }).text(wordsOf("right"), 320, 100, { width: 220 });
    });
    const document = await parsePdf(content);
    expect(document.pages[0]?.text.replace(/\s+/g, " ")).toBe(`${wordsOf("left")} ${wordsOf("right")}`);
  });

  test("a word cut at a line's end is whole again, a compound keeps its hyphen", async () => {
    const lines = [
      "Our long-term members pay nothing for the treatment and for the infor-",
      "mation on it. The rule for every member stands in the book as a long-",
      "term promise.",
    ];
    const document = await parsePdf(makeRawPdf([showLines(lines)]));
    const text = document.pages[0]?.text.replace(/\s+/g, " ");
    expect(text).toContain("the information on it");
    expect(text).toContain("as a long-term promise");
  });

  test("a hyphen at a line's end stays before a capital, and before a joining word with a space", async () => {
    const lines = [
      "Diese Bedingungen gelten ohne Ausnahme auch in der privaten Kranken-",
      "und Pflegeversicherung der Versicherten und ebenso noch in der Kfz-",
      "Versicherung nach dem Tarif.",
    ];
    const document = await parsePdf(makeRawPdf([showLines(lines)]));
    expect(document.pages[0]?.text).toBe(
      "Diese Bedingungen gelten ohne Ausnahme auch in der privaten Kranken- und Pflegeversicherung der Versicherten " +
        "und ebenso noch in der Kfz-Versicherung nach dem Tarif.",
    );
  });

  test("Chinese text in a font that is not embedded is read", async () => {
    // 保険 in the Adobe-Japan1 character set, which needs the character maps that ship with pdf.js.
    const raw = makeRawPdf(["BT /F1 24 Tf 72 700 Td <4a5d3831> Tj ET"]).toString("latin1");
    const cid =
      "<< /Type /Font /Subtype /Type0 /BaseFont /HeiseiMin-W3 /Encoding /H /DescendantFonts [<< /Type /Font /Subtype /CIDFontType0 /BaseFont /HeiseiMin-W3 /CIDSystemInfo << /Registry (Adobe) /Ordering (Japan1) /Supplement 2 >> /DW 1000 >>] >>";
    const content = raw.replace("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>", cid);
    const document = await parsePdf(Buffer.from(content, "latin1"));
    expect(document.pages[0]?.text).toContain("保険");
  });

  test("text drawn over itself to look bold is read once", async () => {
    const passes = [0, 0.4, 0.8].map((shift) => `BT /F1 12 Tf ${72 + shift} 700 Td (Total of all benefits) Tj ET`);
    const document = await parsePdf(makeRawPdf([passes.join("\n")]));
    expect(document.pages[0]?.text).toBe("Total of all benefits");
  });

  test("what is typed into a form's fields is part of the text", async () => {
    const content = await makePdf((pdf) => {
      pdf.addPage().fontSize(12).text("Name of the insured:", 72, 100);
      pdf.font("Helvetica").initForm();
      pdf.formText("insured", 220, 96, 200, 18, { value: "Ada Lovelace" });
    });
    const document = await parsePdf(content);
    expect(document.pages[0]?.text).toContain("Name of the insured: Ada Lovelace");
  });

  test("what is typed on top of a page is part of the text, line by line", async () => {
    const raw = makeRawPdf([showLines(["Signed by:"])]).toString("latin1");
    const note =
      "/Annots [<< /Type /Annot /Subtype /FreeText /Rect [72 600 300 640] /Contents (Ada\\nLovelace) /DA (/F1 12 Tf) >>]";
    const document = await parsePdf(
      Buffer.from(raw.replace("/Type /Page /Parent", `/Type /Page ${note} /Parent`), "latin1"),
    );
    expect(document.pages[0]?.text).toMatch(/Signed by:\s+Ada\s+Lovelace/);
  });

  test("a page without text is noted and keeps its number", async () => {
    const document = await parsePdf(
      makeRawPdf([
        showLines(["The first page has some text."]),
        "0 0 100 100 re f",
        showLines(["And so has the third one."]),
      ]),
    );
    expect(document.pages.map((page) => [page.page_number, page.text])).toEqual([
      [1, "The first page has some text."],
      [2, ""],
      [3, "And so has the third one."],
    ]);
    expect(document.notes).toEqual([expect.objectContaining({ code: "page_without_text", page_number: 2 })]);
  });

  test("progress goes up to the number of pages", async () => {
    const path = await files.write("progress.pdf", makeRawPdf(["", "", ""]));
    const seen: number[][] = [];
    await parseFormat({
      path,
      format: "pdf",
      limits: DEFAULT_PARSE_LIMITS,
      onProgress: (done, total) => seen.push([done, total]),
    });
    expect(seen).toEqual([
      [1, 3],
      [2, 3],
      [3, 3],
    ]);
  });
});

describe("PDFs that cannot be read", () => {
  test("a password ends in password_protected", async () => {
    const content = await makePdf((pdf) => pdf.addPage().text("secret"), { userPassword: "open sesame" });
    await expect(parsePdf(content)).rejects.toMatchObject({ kind: "permanent", code: "password_protected" });
  });

  test("a PDF that only forbids changes is read", async () => {
    const content = await makePdf((pdf) => pdf.addPage().text("Not secret at all, only not to be changed"), {
      ownerPassword: "owner",
      permissions: { modifying: false },
    });
    await expect(parsePdf(content)).resolves.toMatchObject({
      pages: [{ text: "Not secret at all, only not to be changed" }],
    });
  });

  test.each([0.3, 0.6, 0.9])("a PDF cut off after %d of its bytes is damaged_file", async (share) => {
    const content = await makePdf((pdf) => {
      for (let page = 0; page < 5; page += 1)
        pdf.addPage().text(`Page ${page} of a document with some text on each page`);
    });
    const cut = content.subarray(0, Math.floor(content.length * share));
    await expect(parsePdf(cut)).rejects.toMatchObject({ kind: "permanent", code: "damaged_file" });
  });

  test("whatever follows its end does not make a PDF truncated", async () => {
    const content = makeRawPdf([showLines(["All of its text is there."])]);
    for (const rest of [Buffer.alloc(200_000), Buffer.from(`<p>Scanned by ACME</p>\n`.repeat(10_000))]) {
      await expect(parsePdf(Buffer.concat([content, rest]))).resolves.toMatchObject({
        pages: [{ text: "All of its text is there." }],
      });
    }
  });

  test("a PDF whose update is cut off is damaged_file", async () => {
    const content = makeRawPdf([showLines(["The text before its update."])]);
    const update = Buffer.from("5 0 obj\n<< /Length 500000 >>\nstream\n");
    const cut = Buffer.concat([content, update, randomBytes(100_000)]);
    await expect(parsePdf(cut)).rejects.toMatchObject({ code: "damaged_file", message: /truncated/ });
  });

  test.each([
    ["nothing but a header", Buffer.from("%PDF-1.7\n")],
    ["a tree without pages", makeRawPdf([])],
    ["noise after the header", Buffer.concat([Buffer.from("%PDF-1.7\n"), Buffer.alloc(50_000, 0xa7)])],
  ])("%s is damaged_file", async (_, content) => {
    await expect(parsePdf(content)).rejects.toMatchObject({ kind: "permanent", code: "damaged_file" });
  });

  test("a dynamic form that only shows its placeholder is xfa_form_unsupported", async () => {
    const lines = [
      "Please wait...",
      "If this message is not eventually replaced by the proper contents of the document,",
    ];
    await expect(parsePdf(makeRawPdf([showLines(lines)]))).rejects.toMatchObject({ code: "xfa_form_unsupported" });
  });

  test("a page whose fonts do not tell their characters is noted", async () => {
    const document = await parsePdf(makeRawPdf([showLines(["!#$%&*+/:;<=>?@[]^{}~!#$%&*+/:;<=>?@"])]));
    expect(document.notes).toEqual([expect.objectContaining({ code: "page_text_unreadable", page_number: 1 })]);
  });

  test("an empty file is empty_file", async () => {
    await expect(parsePdf(Buffer.alloc(0))).rejects.toMatchObject({ code: "empty_file" });
  });

  test("a page too many is too_many_pages", async () => {
    const content = makeRawPdf(["", "", ""]);
    await expect(parsePdf(content, { maxPages: 3 })).resolves.toMatchObject({ pages: { length: 3 } });
    await expect(parsePdf(content, { maxPages: 2 })).rejects.toMatchObject({
      kind: "too_large",
      code: "too_many_pages",
      details: { pages: 3, limit: 2 },
    });
  });

  test("a character too many is text_too_large", async () => {
    const content = makeRawPdf([showLines(["12345678", "12345678"])]);
    await expect(parsePdf(content, { maxTextChars: 10 })).rejects.toMatchObject({
      kind: "too_large",
      code: "text_too_large",
    });
  });
});

describe("inflation bombs", () => {
  const bomb = makeRawPdf([Buffer.alloc(40 * 1024 * 1024, "BT (a) Tj ET ")]);

  test("a small file with a huge stream ends in inflation_limit by its ratio", async () => {
    expect(bomb.length).toBeLessThan(300_000);
    await expect(parsePdf(bomb)).rejects.toMatchObject({ kind: "too_large", code: "inflation_limit" });
  });

  test("a stream past the absolute limit ends in inflation_limit whatever its ratio", async () => {
    const content = makeRawPdf([randomBytes(3_000_000)]);
    await expect(parsePdf(content, { maxInflatedBytes: 2_000_000 })).rejects.toMatchObject({ code: "inflation_limit" });
  });
});

function wordsOf(name: string): string {
  return Array.from({ length: 90 }, (_, index) => `${name}${index}`).join(" ");
}
