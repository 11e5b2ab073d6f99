import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createTempFiles } from "./fixtures/temp-files.ts";
import type { TempFiles } from "./fixtures/temp-files.ts";
import type { Format } from "@pipeline/runtime";
import { parseFormat } from "./parse-format.ts";
import { DEFAULT_PARSE_LIMITS } from "./parse-limits.ts";

let files: TempFiles;

beforeAll(async () => {
  files = await createTempFiles();
});
afterAll(() => files.remove());

async function parse(content: string | Uint8Array, format: Format) {
  const path = await files.write(randomBytes(4).toString("hex"), content);
  return parseFormat({ path, format, limits: DEFAULT_PARSE_LIMITS, onProgress: () => undefined });
}

describe("plain text", () => {
  test("is kept as it is, and form feeds split pages", async () => {
    const document = await parse("one\r\n  indented\f\ftwo & 保険 # not a heading\f", "text");
    expect(document).toMatchObject({ parser: "text", title: null, notes: [] });
    expect(document.pages).toEqual([
      { page_number: 1, text: "one\r\n  indented" },
      { page_number: 2, text: "" },
      { page_number: 3, text: "two & 保険 # not a heading" },
    ]);
  });

  test.each([
    ["UTF-16 with a mark", Buffer.from("\ufeffGrüße", "utf16le"), []],
    ["UTF-8 with a mark", Buffer.from("\ufeffGrüße"), []],
    ["windows-1252", Buffer.from("Grüße", "latin1"), [expect.objectContaining({ code: "encoding_guessed" })]],
  ])("%s is decoded", async (_, content, notes) => {
    await expect(parse(content, "text")).resolves.toMatchObject({ pages: [{ page_number: 1, text: "Grüße" }], notes });
  });

  test("one broken byte does not turn the rest of a UTF-8 text into nonsense", async () => {
    const content = Buffer.concat([Buffer.from("保険".repeat(20)), Buffer.from([0xff]), Buffer.from("終")]);
    const document = await parse(content, "text");
    expect(document.pages[0]?.text).toBe(`${"保険".repeat(20)}\ufffd終`);
  });

  test("binary data is damaged_file and nothing at all is empty_file", async () => {
    await expect(parse(Buffer.from([1, 2, 3, 0, 4]), "text")).rejects.toMatchObject({ code: "damaged_file" });
    await expect(parse("", "markdown")).rejects.toMatchObject({ code: "empty_file" });
  });
});

describe("Markdown", () => {
  test("loses its front matter, whose title becomes the document's", async () => {
    const document = await parse('---\ntitle: "The plan"\ntags: [a]\n---\n# Cover\n\n| a | b |\n', "markdown");
    expect(document).toMatchObject({ parser: "markdown", title: "The plan" });
    expect(document.pages).toEqual([{ page_number: 1, text: "# Cover\n\n| a | b |\n" }]);
  });

  test.each([
    "Note: this is the first section\nmore",
    "Note: this is the first section\n\n- one\n- two",
    "# Welcome",
    "- one\n- two",
    "  indented\nNote: text",
    "Opening hours: 9 to 5\nOn 10:30 the office closes",
  ])("keeps %j between two rules at its top", async (section) => {
    const content = `---\n${section}\n---\nrest of text`;
    const document = await parse(content, "markdown");
    expect(document.pages).toEqual([{ page_number: 1, text: content }]);
  });

  test("may have lists, longer values, comments and blank lines in its front matter", async () => {
    const matter =
      "# made by hand\ntitle: The plan\n\ntags:\n- a\n- b\nkeys: [\n  c\n]\nabout: >\n  two\n  lines\n'a b': 1";
    const document = await parse(`---\n${matter}\n---\nrest`.replaceAll("\n", "\r\n"), "markdown");
    expect(document).toMatchObject({ title: "The plan", pages: [{ text: "rest" }] });
  });

  test("a rule at the top is no front matter, and the first heading is the title", async () => {
    const document = await parse("---\nHello there\n---\n# Cover #\n", "markdown");
    expect(document.title).toBe("Cover");
    expect(document.pages[0]?.text).toContain("Hello there");
  });
});

test.each([
  ["# Cover #", "Cover"],
  ["# The ## plan ##  ", "The ## plan"],
  ["#  Two  words", "Two  words"],
  ["# ###\n# Next", null],
  ["no heading", null],
])("the title of %j is %j", async (text, title) => {
  await expect(parse(text, "markdown")).resolves.toMatchObject({ title });
});

describe("HTML", () => {
  test("an article loses its surroundings and keeps its tables", async () => {
    const prose = "The plan pays for the treatment that a doctor finds necessary, up to the limit. ".repeat(8);
    const document = await parse(
      `<!doctype html><html><head><title>Cover &amp; more</title><style>p{color:red}</style><script>alert(1)</script></head>
       <body><nav><a href="/">Home</a></nav><article><h1>Cover</h1><h2>Dental</h2><p>${prose}</p><p>${prose}</p>
       <ul><li>Crowns</li><li>Fillings</li></ul>
       <table><tr><td>Benefit</td><td>Limit</td></tr><tr><td><p>Crowns</p></td><td><ul><li>900</li><li>1|2</li></ul></td></tr></table>
       <p><img src="data:image/png;base64,AAAA" alt="x">Call <a href="tel:123">us</a> or <a href="javascript:alert(1)">click</a>.</p>
       </article><div style="display:none">hidden</div></body></html>`,
      "html",
    );
    expect(document.title).toBe("Cover & more");
    expect(document.pages).toHaveLength(1);
    const text = document.pages[0]?.text ?? "";
    expect(text).toContain("## Dental\n\nThe plan pays");
    expect(text).toContain("- Crowns\n- Fillings");
    expect(text).toMatch(/\| Benefit \| Limit \|\n\| --- \| --- \|\n\| Crowns \| 900 +1\\\|2 \|/);
    expect(text).toContain("Call [us](tel:123) or click.");
    expect(text).not.toMatch(/Home|alert|color|hidden|data:/);
  });

  test("a page that is no article keeps its whole body", async () => {
    const rows = Array.from(
      { length: 30 },
      (_, index) => `<div><b>Item ${index}</b><span> costs ${index} EUR</span></div>`,
    );
    const document = await parse(
      `<html><body><h1>Prices</h1>${rows.join("")}<footer>Call us</footer></body></html>`,
      "html",
    );
    const text = document.pages[0]?.text ?? "";
    for (const index of rows.keys()) expect(text).toContain(`**Item ${index}** costs ${index} EUR`);
    expect(text).toContain("# Prices");
    expect(document.title).toBe("Prices");
  });

  test("the character set is taken from the page, and a fragment is a page too", async () => {
    const greek = Buffer.concat([
      Buffer.from('<meta charset="iso-8859-7"><p>'),
      Buffer.from([0xe1, 0xe2, 0xe3]),
      Buffer.from("</p><p>x</p>"),
    ]);
    const document = await parse(greek, "html");
    expect(document.pages[0]?.text).toBe("αβγ\n\nx");
  });

  test("tables that lay out a page become text", async () => {
    const document = await parse(
      "<table><tr><td><h1>Left</h1></td><td><table><tr><td>a</td><td>b</td></tr><tr><td>c</td><td>d</td></tr></table></td></tr></table>",
      "html",
    );
    expect(document.pages[0]?.text).toBe("## Left\n\n| a | b |\n| --- | --- |\n| c | d |");
  });

  test("a page nested thousands of levels deep ends in damaged_file", async () => {
    await expect(parse(`<html><body>${"<div>".repeat(5000)}deep`, "html")).rejects.toMatchObject({
      code: "damaged_file",
    });
  });
});
