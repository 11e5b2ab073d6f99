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

describe("what an HTML page says", () => {
  const prose = "The plan pays for the treatment that a doctor finds necessary, up to the limit. ".repeat(12);

  test.each([
    ["a second article", `<article><p>${prose}</p></article><article><p>CLAUSE</p></article>`],
    ["an aside", `<main><p>${prose}</p><aside>CLAUSE</aside></main>`],
    ["an aside inside an article", `<article><p>${prose}</p><aside><p>CLAUSE</p></aside></article>`],
    ["a plain part", `<article><p>${prose}</p></article><div class="plain"><p>CLAUSE</p></div>`],
    ["a supplemental part", `<article><p>${prose}</p><div class="supplemental">CLAUSE</div></article>`],
    ["remarks", `<article><p>${prose}</p><div class="remarks">CLAUSE</div></article>`],
    ["a part with a header's class", `<div class="header">CLAUSE</div><article><p>${prose}</p></article>`],
    ["a header", `<header>CLAUSE</header><article><p>${prose}</p></article>`],
    ["a footer", `<article><p>${prose}</p></article><footer>CLAUSE</footer>`],
    ["a form's label", `<article><p>${prose}</p></article><form><label>CLAUSE</label><input></form>`],
  ])("%s is not left out", async (_, body) => {
    const clause = "Exclusions: we do not pay for dentures, implants or braces of members above 65.";
    await expect(textOf(body.replace("CLAUSE", clause))).resolves.toContain(clause);
  });

  test("what reader view drops of an article is little, and a note says how much", async () => {
    const body = `<article><p>${prose.repeat(3)}</p></article><div class="sidebar">Share this</div>`;
    const { pages, notes } = await parse(`<html><body>${body}</body></html>`, "html");
    expect(pages[0]?.text).not.toContain("Share");
    expect(notes).toEqual([
      {
        code: "page_parts_left_out",
        message: "Parts of the page were left out: 9 characters around its article.",
      },
    ]);
  });

  test("hidden text is left out with a note, menus and scripts without one", async () => {
    const hidden =
      '<p hidden>one</p><p style="display: none">two</p><p aria-hidden="true">x</p><noscript>ok</noscript>';
    const { pages, notes } = await parse(`<p>seen</p><nav>Home</nav><script>a()</script>${hidden}`, "html");
    expect(pages[0]?.text).toBe("seen");
    expect(notes).toEqual([
      {
        code: "page_parts_left_out",
        message: "Parts of the page were left out: 9 characters that the page hides.",
      },
    ]);
    await expect(parse("<p>seen</p><nav>Home</nav>", "html")).resolves.toMatchObject({ notes: [] });
  });

  test("a page that hides itself until its scripts have run is read", async () => {
    const document = await parse('<html><body style="visibility:hidden"><p>seen</p></body></html>', "html");
    expect(document).toMatchObject({ pages: [{ text: "seen" }], notes: [] });
  });

  test.each([
    ["no body", "<html><head><title>t</title></head><p>one</p><p>two</p></html>"],
    ["a head without an end", "<html><head><title>t</title><p>one</p><p>two</p>"],
    ["text behind the body", "<html><body><p>one</p></body></html><p>two</p>"],
    ["text before the page", "<p>one</p><html><body><p>two</p></body></html>"],
  ])("%s loses no text", async (_, page) => {
    const { pages } = await parse(page, "html");
    expect(pages).toEqual([{ page_number: 1, text: "one\n\ntwo" }]);
  });

  test("the buttons that open an answer keep their question, others go", async () => {
    const body =
      "<h3><button>What is my deductible?</button></h3><p>500 a year.</p>" +
      "<details><summary><button>And abroad?</button></summary><p>The same.</p></details>" +
      '<button aria-expanded="false">For how long?</button><div>A year.</div><button>Accept</button>';
    await expect(textOf(body)).resolves.toBe(
      "### What is my deductible?\n\n500 a year.\n\nAnd abroad?\n\nThe same.\n\nFor how long?\n\nA year.",
    );
  });

  test("the character data of XHTML is text", async () => {
    const page =
      '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><head><script><![CDATA[ if (a<b) c(); ]]></script></head>' +
      "<body><p>before<![CDATA[ a < b & <c> ]]>after</p><!-- gone --></body></html>";
    const { pages } = await parse(page, "html");
    expect(pages[0]?.text).toBe("before a < b & <c> after");
  });
});

describe("cells over several rows of an HTML table", () => {
  test.each([
    [
      "are repeated in each",
      "<tr><th>Plan<th>Where<th>Pays</tr><tr><td rowspan=2>Gold<td>In<td>$10</tr><tr><td>Out<td>$50</tr><tr><td>Tin<td>In<td>$5</tr>",
      ["| Plan | Where | Pays |", "| Gold | In | $10 |", "| Gold | Out | $50 |", "| Tin | In | $5 |"],
    ],
    [
      "and columns keep the columns behind them",
      "<tr><td rowspan=2 colspan=2>a<td>b</tr><tr><td>c</tr>",
      ["| a |  | b |", "| a |  | c |"],
    ],
    [
      "stand at the row's end too, behind what is missing",
      "<tr><td>a<td>b<td rowspan=3>c</tr><tr><td>d</tr><tr></tr>",
      ["| a | b | c |", "| d |  | c |", "|  |  | c |"],
    ],
    [
      "end with their part of the table",
      "<thead><tr><td rowspan=9>a<td>b</tr></thead><tbody><tr><td>c<td>d</tr></tbody>",
      ["| a | b |", "| c | d |"],
    ],
    [
      "may reach to the end",
      "<tr><td rowspan=0>a<td>b</tr><tr><td>c</tr><tr><td>d</tr>",
      ["| a | b |", "| a | c |", "| a | d |"],
    ],
    ["may be nonsense", "<tr><td rowspan=x>a<td rowspan=-3>b</tr><tr><td>c<td>d</tr>", ["| a | b |", "| c | d |"]],
  ])("%s", async (_, rows, expected) => {
    await expect(tableOf(rows)).resolves.toEqual(expected);
  });
});

async function textOf(body: string): Promise<string> {
  const { pages } = await parse(`<html><head><title>Cover</title></head><body>${body}</body></html>`, "html");
  return pages[0]?.text ?? "";
}

async function tableOf(rows: string): Promise<string[]> {
  const { pages } = await parse(`<table>${rows}</table>`, "html");
  return (pages[0]?.text ?? "").split("\n").toSpliced(1, 1);
}
