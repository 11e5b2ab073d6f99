import { afterAll, beforeAll, expect, test } from "vitest";
import { makeRawPdf, showLines } from "./fixtures/make-pdf.ts";
import { createTempFiles } from "./fixtures/temp-files.ts";
import type { TempFiles } from "./fixtures/temp-files.ts";
import { parseDocument } from "./parse-document.ts";
import { DEFAULT_PARSE_LIMITS } from "./parse-limits.ts";

let files: TempFiles;
let manyPages: string;

beforeAll(async () => {
  files = await createTempFiles();
  const lines = Array.from({ length: 40 }, (_, index) => `Line ${index} of a page in a long document`);
  manyPages = await files.write("many.pdf", makeRawPdf(Array.from({ length: 400 }, () => showLines(lines))));
});
afterAll(() => files.remove());

test("aborting in the middle ends the parser and says aborted, with the reason as its cause", async () => {
  const controller = new AbortController();
  const reason = new Error("lease lost");
  const seen: number[] = [];
  const parsing = parseDocument({
    path: manyPages,
    format: "pdf",
    signal: controller.signal,
    onProgress: ({ pages_done }) => {
      seen.push(pages_done);
      controller.abort(reason);
    },
  });
  await expect(parsing).rejects.toMatchObject({ kind: "transient", code: "aborted", cause: reason });
  expect(seen.length).toBeLessThan(400);
});

test("a signal that is aborted already starts nothing", async () => {
  const signal = AbortSignal.abort();
  await expect(parseDocument({ path: manyPages, format: "pdf", signal })).rejects.toMatchObject({ code: "aborted" });
});

test("a parser that does not answer in time is ended with parse_timeout", async () => {
  const limits = { ...DEFAULT_PARSE_LIMITS, timeoutMs: 1 };
  await expect(parseDocument({ path: manyPages, format: "pdf", limits })).rejects.toMatchObject({
    kind: "transient",
    code: "parse_timeout",
  });
});

test("a parser that outgrows its heap is ended with parse_memory_limit", async () => {
  const text = await files.write("large.md", "word ".repeat(4_000_000));
  const limits = { ...DEFAULT_PARSE_LIMITS, heapMb: 8, maxTextChars: 100_000_000 };
  await expect(parseDocument({ path: text, format: "html", limits })).rejects.toMatchObject({
    kind: "permanent",
    code: "parse_memory_limit",
  });
});

test.runIf(process.platform === "linux")(
  "a parser that outgrows its resident memory is ended with parse_memory_limit",
  async () => {
    const limits = { ...DEFAULT_PARSE_LIMITS, rssMb: 30 };
    await expect(parseDocument({ path: manyPages, format: "pdf", limits })).rejects.toMatchObject({
      code: "parse_memory_limit",
    });
  },
);

test("fifty megabytes of text arrive whole", async () => {
  const page = "0123456789".repeat(1_250_000);
  const path = await files.write("huge.txt", Array.from({ length: 4 }, () => page).join("\f"));
  const limits = { ...DEFAULT_PARSE_LIMITS, maxTextChars: 60_000_000 };
  const { pages } = await parseDocument({ path, format: "text", limits });
  expect(pages.map((each) => each.text === page)).toEqual([true, true, true, true]);
});

test("text past the limit is refused, not cut", async () => {
  const path = await files.write("long.txt", "a".repeat(101));
  const limits = { ...DEFAULT_PARSE_LIMITS, maxTextChars: 100 };
  await expect(parseDocument({ path, format: "text", limits })).rejects.toMatchObject({
    kind: "too_large",
    code: "text_too_large",
  });
});

test("a title is cut before it leaves the parser's process", async () => {
  const path = await files.write("title.html", `<html><title>${"long ".repeat(400_000)}</title><p>Text</p></html>`);
  const { title } = await parseDocument({ path, format: "html" });
  expect(title).toBe(`${"long ".repeat(99)}long`);
});

test("form feeds past the page limit are too_many_pages", async () => {
  const path = await files.write("pages.txt", "a\f".repeat(501));
  await expect(parseDocument({ path, format: "text" })).rejects.toMatchObject({
    kind: "too_large",
    code: "too_many_pages",
  });
});

test("a file that is not there is an error of the parser, not of the document", async () => {
  await expect(parseDocument({ path: "/nowhere/at/all.txt", format: "text" })).rejects.toMatchObject({
    kind: "transient",
    code: "parser_crashed",
  });
});

test("an error in the caller's progress handler ends the parse", async () => {
  const parsing = parseDocument({
    path: manyPages,
    format: "pdf",
    onProgress: () => {
      throw new Error("no");
    },
  });
  await expect(parsing).rejects.toMatchObject({ code: "parser_crashed", cause: new Error("no") });
});
