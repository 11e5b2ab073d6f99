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
