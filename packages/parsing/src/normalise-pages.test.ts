import { describe, expect, test } from "vitest";
import { normalisePages } from "./normalise-pages.ts";

function normalise(texts: string[], format: "pdf" | "text" = "pdf") {
  const pages = texts.map((text, index) => ({ page_number: index + 1, text }));
  const result = normalisePages({ pages, format });
  expect(result.pages.map((page) => page.page_number)).toEqual(pages.map((page) => page.page_number));
  return { texts: result.pages.map((page) => page.text), notes: result.notes };
}

describe("text", () => {
  test.each([
    ["composed characters", "Gru\u0308\u00dfe", "Grüße"],
    ["line ends", "a\r\nb\rc\u2028d", "a\nb\nc\nd"],
    ["controls", "a\u0000b\u0007c\u009fd\te", "abcd\te"],
    ["soft hyphens, zero-width spaces and marks", "in\u00adfor\u200bma\ufefftion\u202e", "information"],
    ["lone surrogates", "a\ud800b😀", "ab😀"],
    ["blanks at line ends, and blank lines", "\n\na  \n\n\n\n b\t\n", "a\n\n b"],
    ["ligatures", "bene\ufb01t o\ufb03ce", "benefit office"],
    ["no-break spaces", "900\u00a0EUR", "900 EUR"],
    [
      "joiners in Persian words and emoji stay, elsewhere they go",
      "می\u200cخواهم 👩\u200d👧 a\u200db",
      "می\u200cخواهم 👩\u200d👧 ab",
    ],
    ["noncharacters", "a\ufdd0b\uffffc", "abc"],
    ["letters and marks that a soft hyphen kept apart", "Gru\u00ad\u0308n", "Gr\u00fcn"],
    ["blanks between words", `a${" ".repeat(40)}\u3000b`, `a${" ".repeat(40)}\u3000b`],
  ])("%s", (_, before, after) => {
    expect(normalise([before]).texts).toEqual([after]);
  });
});

function marks(count: number): string {
  return "\u0316".repeat(count);
}

describe("marks on one letter", () => {
  test("as many as the Stream-Safe Text Format allows stay as they are", () => {
    expect(normalise([`a${marks(30)}b`]).texts).toEqual([`a${marks(30)}b`]);
  });

  test("more are parted after every 30, and none is lost", () => {
    const { texts } = normalise([`x${marks(65)}b`]);
    expect(texts).toEqual([`x${marks(30)}\u034f${marks(30)}\u034f${marks(5)}b`]);
    expect(normalise(texts).texts).toEqual(texts);
  });
});

function pageOf(number: number): string {
  const part = ["one", "two", "three", "four"][number - 1];
  return `ACME Insurance\n\n## Part ${part}\n\nText of its own, number ${number * 17}.\n\nPage ${number} of 4`;
}

describe("running headers and footers", () => {
  test("go, page numbers everywhere and other lines after their first time", () => {
    const { texts, notes } = normalise([1, 2, 3, 4].map(pageOf));
    expect(texts).toEqual([
      "ACME Insurance\n\n## Part one\n\nText of its own, number 17.",
      "## Part two\n\nText of its own, number 34.",
      "## Part three\n\nText of its own, number 51.",
      "## Part four\n\nText of its own, number 68.",
    ]);
    expect(notes).toEqual([
      expect.objectContaining({ code: "running_lines_removed", message: expect.stringContaining("7") }),
    ]);
  });

  test("of left and right pages both go", () => {
    const texts = Array.from({ length: 8 }, (_, index) =>
      index % 2 === 0 ? `Left side\n\nText ${"abcdefgh"[index]}` : `Right side\n\nText ${"abcdefgh"[index]}`,
    );
    expect(normalise(texts).texts.slice(2)).toEqual(["Text c", "Text d", "Text e", "Text f", "Text g", "Text h"]);
  });

  test("headings that differ by a number only stay when the number does not follow the pages", () => {
    const texts = ["# Claim 4711\n\naa", "# Claim 5822\n\nbb", "# Claim 6001\n\ncc"];
    expect(normalise(texts)).toEqual({ texts, notes: [] });
  });

  test("a line too long for a running one goes only where it repeats as it stands", () => {
    const line = "This policy is void. ".repeat(15);
    const repeated = ["a", "b", "c"].map((letter) => `${line}\n\n${letter}`);
    expect(normalise(repeated).texts.slice(1)).toEqual(["b", "c"]);
    const numbered = ["a", "b", "c"].map((letter, index) => `${line}Page ${index + 1}\n\n${letter}`);
    expect(normalise(numbered)).toEqual({ texts: numbered, notes: [] });
  });

  test("a line of many numbers is a table's, even where one of them follows the pages", () => {
    const rows = [1, 2, 3].map((page) => `${"7 ".repeat(25)}${page}\n\n${"abc"[page - 1]}`);
    expect(normalise(rows)).toEqual({ texts: rows, notes: [] });
  });

  test("stay in documents of two pages", () => {
    const texts = ["Head\n\na", "Head\n\nb"];
    expect(normalise(texts)).toEqual({ texts, notes: [] });
  });

  test("stay on a page that has nothing else", () => {
    const texts = ["a", "b", "", "d"].map((text, index) => `Head\n\n${text}\n\nPage ${index + 1}`);
    expect(normalise(texts).texts).toEqual(["Head\n\na", "b", "Head\n\nPage 3", "d"]);
    expect(normalise(["1", "2", "3"], "text").texts).toEqual(["1", "2", "3"]);
  });

  test.each([
    "Page N of the test policy",
    "Coverage tier N pays 100 dollars",
    "The code word of page N is zebra.",
    "Premium table for the year 202N",
    "202N",
    "Appendix N",
    "Chapter N",
    "Clause N",
    "(N)",
    "N.",
    "- N",
    "Question N",
    "Claim form N",
    "## Section N",
    "# N",
    "Tier · N",
    "N EUR",
    "Week N of 4",
    "N/2026",
  ])("%j is text, alone and beside other text", (line) => {
    const lines = [1, 2, 3, 4].map((page) => line.replace("N", String(page)));
    expect(normalise(lines, "text")).toEqual({ texts: lines, notes: [] });
    const above = lines.map((each, index) => `${each}\n\n${"abcd"[index]} of its own`);
    expect(normalise(above)).toEqual({ texts: above, notes: [] });
    const below = lines.map((each, index) => `${"abcd"[index]} of its own\n\n${each}`);
    expect(normalise(below)).toEqual({ texts: below, notes: [] });
  });

  test.each([
    "N",
    "- N -",
    "— N —",
    "**N**",
    "N/12",
    "N of 12",
    "Page N",
    "PAGE N.",
    "[Page N of 12]",
    "page no. N",
    "p. N",
    "Seite N von 12",
    "S. N",
    "Página N de 12",
    "page N sur 12",
    "Pagina N di 12",
    "Strona N z 12",
    "Стр. N из 12",
    "第N页 共12页",
  ])("%j is a page number and goes from the first page too", (line) => {
    const texts = [1, 2, 3, 4].map((page) => `${"abcd"[page - 1]}\n\n${line.replace("N", String(page))}`);
    expect(normalise(texts).texts).toEqual(["a", "b", "c", "d"]);
  });

  test.each([
    "ACME Policy AB-1 · Page N of 12",
    "ACME Policy AB-1 Page N of 12",
    "Page N of 12 ACME Policy AB-1",
    "Page N | ACME Policy AB-1",
    "ACME – Seite N",
    "ACME Policy        Page N",
  ])("%j stays where it stands first", (line) => {
    const texts = [1, 2, 3, 4].map((page) => `${line.replace("N", String(page))}\n\n${"abcd"[page - 1]}`);
    expect(normalise(texts).texts).toEqual([`${line.replace("N", "1")}\n\na`, "b", "c", "d"]);
  });

  test("that stand twice on the first page stay there twice", () => {
    const texts = ["a", "b", "c"].map((letter) => `Paid\nPaid\n\n${letter}`);
    expect(normalise(texts).texts).toEqual(["Paid\nPaid\n\na", "b", "c"]);
  });

  test("table rows and fences stay, however often they repeat", () => {
    const table = "| Benefit | Cover |\n| --- | --- |\n| Spa | Not covered |";
    const bare = "Benefit | Cover\n--- | ---\nSpa | Not covered";
    const code = "```\nsame\n```";
    for (const block of [table, bare, code]) {
      const texts = ["a", "b", "c"].flatMap((letter) => [`${block}\n\n${letter}\n\n${block}`]);
      expect(normalise(texts)).toEqual({ texts, notes: [] });
    }
  });

  test("a line that repeats behind text is content, also where it once stands first", () => {
    const call = "Important: call 911 first";
    const texts = ["a", "b", "c", "d"].map((letter) => `# Claim ${letter}\n\n${call}\n\n${letter}`);
    const all = [...texts, `${call}\n\ne`, `${call}\n\nf`];
    expect(normalise(all)).toEqual({ texts: all, notes: [] });
  });

  test("text behind other text is content, even where it repeats", () => {
    const texts = ["a\n\nsame\n\nx1 y", "b\n\nsame\n\nx2 z", "c\n\nsame\n\nx3 w"];
    expect(normalise(texts).texts).toEqual(texts);
  });
});

describe("documents without text", () => {
  test.each([
    ["a PDF with page numbers only", ["1", "2"], "pdf" as const, /scan/],
    ["a text of blanks", [" \n\u200b "], "text" as const, /no text/],
  ])("%s is no_text", (_, texts, format, message) => {
    expect(() => normalise(texts, format)).toThrow(
      expect.objectContaining({ kind: "permanent", code: "no_text", message: expect.stringMatching(message) }),
    );
  });

  test("one letter is text", () => {
    expect(normalise(["", "a"]).texts).toEqual(["", "a"]);
    expect(normalise(["7"], "text").texts).toEqual(["7"]);
  });
});
