import { expect, test } from "vitest";
import { FORMATS, formatOfMime, mimeOfFilename, SUPPORTED_MIME_TYPES } from "./formats.ts";

test("every supported media type names a format, and every format has one", () => {
  const named = SUPPORTED_MIME_TYPES.map((mime) => formatOfMime(mime));
  expect(new Set(named)).toEqual(new Set(FORMATS));
});

test.each([
  ["application/pdf", "pdf"],
  ["Text/HTML; charset=utf-8", "html"],
  [" application/xhtml+xml ", "html"],
  ["text/x-markdown", "markdown"],
  ["TEXT/PLAIN;format=flowed", "text"],
  ["application/msword", undefined],
  ["", undefined],
])("the media type %j is read as %s", (mime, format) => {
  expect(formatOfMime(mime)).toBe(format);
});

test.each([
  ["Policy.PDF", "application/pdf"],
  ["a.b.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"],
  ["page.htm", "text/html"],
  ["page.xhtml", "application/xhtml+xml"],
  ["notes.markdown", "text/markdown"],
  ["readme.text", "text/plain"],
  ["picture.png", undefined],
  ["pdf", undefined],
])("the file name %j stands for %s", (filename, mime) => {
  expect(mimeOfFilename(filename)).toBe(mime);
});
