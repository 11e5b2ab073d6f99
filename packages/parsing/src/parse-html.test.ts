import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createTempFiles } from "./fixtures/temp-files.ts";
import type { TempFiles } from "./fixtures/temp-files.ts";
import { normalisePages } from "./normalise-pages.ts";
import { parseFormat } from "./parse-format.ts";
import { DEFAULT_PARSE_LIMITS } from "./parse-limits.ts";
import type { ParsedDocument } from "./parsed-document.ts";

let files: TempFiles;

beforeAll(async () => {
  files = await createTempFiles();
});
afterAll(() => files.remove());

async function parse(page: string): Promise<ParsedDocument> {
  const path = await files.write(randomBytes(4).toString("hex"), page);
  return parseFormat({ path, format: "html", limits: DEFAULT_PARSE_LIMITS, onProgress: () => undefined });
}

async function textOf(body: string): Promise<string> {
  const { pages } = await parse(`<html><head><title>Cover</title></head><body>${body}</body></html>`);
  return pages[0]?.text ?? "";
}

describe("an element's own style", () => {
  test.each([
    "backface-visibility: hidden",
    "content-visibility: hidden",
    "-webkit-backface-visibility:hidden",
    "--display: none",
    "display: none; display: block",
    "/* display: none */ color: red",
    "background: url(a?display:none)",
  ])("%s hides nothing", async (style) => {
    await expect(textOf(`<p>Seen.</p><div style="${style}">Floods are covered.</div>`)).resolves.toBe(
      "Seen.\n\nFloods are covered.",
    );
  });

  test.each([
    "visibility: hidden",
    "DISPLAY : NONE",
    "color:red;display:none!important;display:block",
    "display:none;",
  ])("%s hides the element", async (style) => {
    await expect(textOf(`<p>Seen.</p><div style="${style}">Floods are covered.</div>`)).resolves.toBe("Seen.");
  });
});

const frames = (noframes: string) =>
  `<html><head><title>Cover</title></head><frameset cols="20%,80%"><frame src="a.html"><frame src="b.html">${noframes}</frameset></html>`;

describe("a page of frames", () => {
  test.each([
    ["in a body of its own", "<noframes><body><h2>Cover</h2><p>The limit is 500.</p></body></noframes>"],
    ["without one", "<noframes><h2>Cover</h2><p>The limit is 500.</p></noframes>"],
    ["in an inner set", "<frameset><frame><noframes><h2>Cover</h2>The limit is 500.</noframes></frameset>"],
  ])("has the text for those who see no frames, %s", async (_, noframes) => {
    const { pages, title } = await parse(frames(noframes));
    expect(title).toBe("Cover");
    expect(pages).toEqual([{ page_number: 1, text: "## Cover\n\nThe limit is 500." }]);
  });

  test.each([
    ["a whole page", frames("")],
    ["a fragment", '<frameset><frame src="a.html"></frameset>'],
  ])("that has no such text is no_text (%s)", async (_, page) => {
    const { pages } = await parse(page);
    expect(() => normalisePages({ pages, format: "html" })).toThrow(
      expect.objectContaining({ kind: "permanent", code: "no_text" }),
    );
  });
});

test.each([
  [
    "table",
    "<thead><tr><th>Item<th>Sum</tr></thead><tfoot><tr><td>Total<td>99</tr></tfoot><tbody><tr><td>Fire<td>44</tr></tbody>",
    "| Item | Sum |\n| --- | --- |\n| Fire | 44 |\n| Total | 99 |",
  ],
  ["table for layout", "<tfoot><tr><td>Imprint</tr></tfoot><tbody><tr><td>Cover</tr></tbody>", "Cover\n\nImprint"],
])("the foot of a %s comes last, wherever it is written", async (_, rows, expected) => {
  await expect(textOf(`<table>${rows}</table>`)).resolves.toBe(expected);
});

describe("words in boxes of their own are parted", () => {
  test.each([
    ["a summary", "<details><summary>Deductible</summary>The amount</details>", "Deductible\n\nThe amount"],
    ["a legend", "<form><fieldset><legend>Cover</legend>Fire only</fieldset></form>", "Cover\n\nFire only"],
    ["a dialog", "Before<dialog open>Note</dialog>after", "Before\n\nNote\n\nafter"],
    [
      "a table's cell",
      "<table><tr><td><details><summary>a</summary>b</details><td>c</table>",
      "| a b | c |\n| --- | --- |",
    ],
  ])("%s", async (_, body, expected) => {
    await expect(textOf(body)).resolves.toBe(expected);
  });

  test.each([
    "block",
    "flex",
    "grid",
    "table",
    "list-item",
    "table-row",
    "flow-root",
    "BLOCK !important",
    "block flow",
  ])("display: %s", async (display) => {
    const boxes = ["span", "my-box"].map((name) => `<${name} style="display:${display}">One</${name}>two`);
    await expect(textOf(boxes.join(""))).resolves.toBe("One\n\ntwo\n\nOne\n\ntwo");
  });

  test.each([
    ["cells", '<span style="display:table-cell">Fire</span><span style="display:table-cell">900</span>', "Fire 900"],
    ["items", '<div style="display:flex"><span>Fire</span><b>900</b></div>', "Fire **900**"],
    ["a list", '<ol style="display:flex"><li>Fire<li>Theft</ol>', "1. Fire\n2. Theft"],
    ["a row", '<table><tr style="display:flex"><td>a<td>b</table>', "| a | b |\n| --- | --- |"],
    ["a heading", '<h2>Part 1<span style="display:block">Cover</span></h2>', "## Part 1 Cover"],
    ["a link", '<a href="http://a.b"><i style="display:block">Cover</i>more</a>', "[*Cover* more](http://a.b)"],
    ["links", '<a href="http://a.b" style="display:block">Cover</a>more', "[Cover](http://a.b)\n\nmore"],
    ["a line", 'one<span style="display:inline">two</span>', "onetwo"],
    ["a table's cell", '<table><tr><td>a<b style="display:block">b</b><td>c</table>', "| a **b** | c |\n| --- | --- |"],
  ])("in %s by no more than they need", async (_, body, expected) => {
    await expect(textOf(body)).resolves.toBe(expected);
  });

  test("also where reader view takes the styles away", async () => {
    const prose = "The plan pays for the treatment that a doctor finds necessary, up to the limit. ".repeat(30);
    const body = `<article><p>${prose}</p><p>Limit<span style="display:block">500</span></p></article><div class="sidebar">Share</div>`;
    const { pages, notes } = await parse(`<html><body>${body}</body></html>`);
    expect(notes).toHaveLength(1);
    expect(pages[0]?.text).toMatch(/Limit\s+500$/);
  });
});

describe("a superscript", () => {
  test.each([
    ["$500<sup>2</sup> per claim", "$500^(2) per claim"],
    ["10<sup>6</sup> euro", "10^(6) euro"],
    ["10<sup>\u22126</sup>", "10^(\u22126)"],
    ["<b>$500</b><sup><a href='#n'>2</a></sup>", "**$500**^(2)"],
    ["$500<a href='#n'><sup>2</sup></a>", "$500^(2)"],
    ["x<sup>n</sup>", "x^(n)"],
    ["5<sup>2</sup><sup>3</sup>", "5^(2)^(3)"],
  ])("in %s is no part of what it stands at", async (body, expected) => {
    await expect(textOf(`<p>${body}</p>`)).resolves.toBe(expected);
  });

  test("is none in a cell that reaches into the next row either", async () => {
    const rows = "<tr><td>a<td>b</tr><tr><td rowspan=2>500<sup>2</sup><td>c</tr><tr><td>d</tr>";
    await expect(textOf(`<table>${rows}</table>`)).resolves.toContain("| 500^(2) | c |\n| 500^(2) | d |");
  });

  test.each([
    ["the 1<sup>st</sup>, 2<sup>nd</sup> and 4<sup>th</sup>", "the 1st, 2nd and 4th"],
    ["le 1<sup>er</sup>, le 3<sup>e</sup>", "le 1er, le 3e"],
    ["n<sup>o</sup> 5, 1<sup>a</sup>", "no 5, 1a"],
    ["M<sup>me</sup> Acme<sup>TM</sup>", "Mme AcmeTM"],
    ["500<sup>[2]</sup>", "500[2]"],
    ["See <sup>2</sup>", "See 2"],
    ["End.<br><sup>2</sup>Note", "End.  \n2Note"],
  ])("in %s stays as it is", async (body, expected) => {
    await expect(textOf(`<p>${body}</p>`)).resolves.toBe(expected);
  });
});
