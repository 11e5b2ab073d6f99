import { strToU8, zipSync } from "fflate";
import { Paragraph } from "docx";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { checkContent } from "./check-content.ts";
import { makeDocx } from "./fixtures/make-docx.ts";
import { makeRawPdf, showLines } from "./fixtures/make-pdf.ts";
import { createTempFiles } from "./fixtures/temp-files.ts";
import type { TempFiles } from "./fixtures/temp-files.ts";

const DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
const PNG = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
  "base64",
);

let files: TempFiles;

beforeAll(async () => {
  files = await createTempFiles();
});
afterAll(() => files.remove());

async function check(content: string | Uint8Array, mime: string) {
  return checkContent({ path: await files.write("file", content), mime });
}

/** The start of a compound file with one stream name in its directory. */
function compoundFile(stream: string): Buffer {
  return Buffer.concat([Buffer.from("d0cf11e0a1b11ae1", "hex"), Buffer.alloc(100_000), Buffer.from(stream, "utf16le")]);
}

describe("content that is what it claims to be", () => {
  test("a PDF whose header stands after other bytes is taken", async () => {
    const pdf = Buffer.concat([Buffer.alloc(900, 0x20), makeRawPdf([showLines(["Hello"])])]);
    await expect(check(pdf, "application/pdf")).resolves.toBe("pdf");
  });

  test("a Word file is taken", async () => {
    await expect(check(await makeDocx([{ children: [new Paragraph("Hello")] }]), DOCX)).resolves.toBe("docx");
  });

  test("a truncated Word file passes on to the parser, which says that it is damaged", async () => {
    const whole = await makeDocx([{ children: [new Paragraph("Hello")] }]);
    await expect(check(whole.subarray(0, whole.length - 100), DOCX)).resolves.toBe("docx");
  });

  test.each([
    ["text/plain", "text", "Grüße, 保険"],
    ["text/plain", "text", Buffer.from("Gr\u00fc\u00dfe aus K\u00f6ln, sagte er", "latin1")],
    ["text/plain", "text", Buffer.from("\ufeffGrüße", "utf16le")],
    ["text/markdown; charset=utf-8", "markdown", "# Title\n\nText with <b>tags</b>"],
    ["text/html", "html", "<!doctype html><p>Hello"],
    ["application/xhtml+xml", "html", '<?xml version="1.0"?><html><body><p>Hello</p></body></html>'],
  ])("%s as %s", async (mime, format, content) => {
    await expect(check(content, mime)).resolves.toBe(format);
  });

  test("a text longer than what is sampled may be cut inside a character", async () => {
    await expect(check(`a${"保".repeat(100_000)}`, "text/plain")).resolves.toBe("text");
  });
});

describe("content that is something else", () => {
  test.each([
    ["a PNG image", PNG, "application/pdf"],
    ["a PNG image", PNG, "text/plain"],
    ["a PDF document", makeRawPdf([showLines(["Hello"])]), DOCX],
    ["a PDF document", makeRawPdf([showLines(["Hello"])]), "text/plain"],
    ["a ZIP archive", zipSync({ "a.txt": strToU8("a") }), DOCX],
    [
      "an Excel workbook",
      zipSync({ "[Content_Types].xml": strToU8("<a/>"), "xl/workbook.xml": strToU8("<a/>") }),
      DOCX,
    ],
    ["a damaged ZIP archive", zipSync({ "a.txt": strToU8("a".repeat(500)) }).subarray(0, 40), DOCX],
    ["an Office file of the old binary kind", compoundFile("WordDocument"), DOCX],
    ["plain text", "Hello, world", "application/pdf"],
    ["plain text", "Hello, world", "text/html"],
    ["an HTML page", "<!DOCTYPE html><html><body>Hi</body></html>", "text/plain"],
    ["an HTML page", "<html><body>Hi</body></html>", "application/pdf"],
    ["a rich text (RTF) document", "{\\rtf1 Hello}", "text/plain"],
    ["binary data", Buffer.from(Array.from({ length: 999 }, (_, index) => (index * 7919) % 256)), "text/plain"],
    ["encoding", Buffer.from("cff0e8e2e5f22cf5eef0eef8e8e9ece8f0", "hex"), "text/plain"],
  ])("%s is named", async (found, content, mime) => {
    await expect(check(content, mime)).rejects.toMatchObject({
      kind: "permanent",
      code: "content_mismatch",
      message: expect.stringContaining(found),
    });
  });

  test("an encrypted Word file is password_protected", async () => {
    await expect(check(compoundFile("EncryptedPackage"), DOCX)).rejects.toMatchObject({ code: "password_protected" });
  });

  test("an empty file is empty_file, whatever its type", async () => {
    await expect(check("", "application/pdf")).rejects.toMatchObject({ kind: "permanent", code: "empty_file" });
    await expect(check("", "text/plain")).rejects.toMatchObject({ kind: "permanent", code: "empty_file" });
  });

  test("a media type we do not take is unsupported_type", async () => {
    await expect(check(PNG, "image/png")).rejects.toMatchObject({ kind: "permanent", code: "unsupported_type" });
  });
});
