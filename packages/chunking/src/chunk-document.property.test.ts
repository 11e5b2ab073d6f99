import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ChunkInput } from "./chunk-document.ts";
import { chunkDocument } from "./chunk-document.ts";
import { chunkAndVerify } from "./chunk-document.suite.ts";

const words = fc.constantFrom(
  "the",
  "insurer",
  "pays",
  "10%",
  "of",
  "Ärzte",
  "e.g.",
  "Dr.",
  "it!",
  "ends.",
  "why?",
  "漢字",
  "。",
  "😀",
  "e\u0301",
  "<|endoftext|>",
  "a|b",
  "*b*",
  "`c`",
);
const sentence = fc.array(words, { minLength: 1, maxLength: 60 }).map((list) => list.join(" "));
const row = fc.array(words, { minLength: 2, maxLength: 4 }).map((cells) => `| ${cells.join(" | ")} |`);
const table = fc
  .tuple(fc.integer({ min: 1, max: 40 }), fc.array(row, { maxLength: 40 }))
  .map(([width, rows]) => [`| ${"name ".repeat(width)} | fee |`, "| --- | ---: |", ...rows].join("\n"));
const list = fc
  .array(fc.tuple(fc.constantFrom("- ", "  - ", "1. ", "   ", "* ", "      "), sentence), {
    minLength: 1,
    maxLength: 12,
  })
  .map((items) => items.map(([marker, text]) => marker + text).join("\n"));
const code = fc
  .tuple(fc.constantFrom("```", "~~~", "````"), fc.array(sentence, { maxLength: 12 }), fc.boolean())
  .map(([fence, lines, isClosed]) => [`${fence}js`, ...lines, isClosed ? fence : ""].join("\n"));
const heading = fc
  .tuple(fc.integer({ min: 1, max: 7 }), fc.oneof(words, sentence))
  .map(([depth, text]) => `${"#".repeat(depth)} ${text}`);
const setext = fc.tuple(words, fc.constantFrom("===", "---")).map((lines) => lines.join("\n"));
const block = fc.oneof(
  sentence,
  table,
  list,
  code,
  heading,
  heading,
  setext,
  fc.constantFrom("", "---", "> quoted text", "    indented();"),
);
const markdown = fc
  .array(fc.tuple(block, fc.constantFrom("\n\n", "\n", "\r\n\r\n", "\n \t\n")), { maxLength: 14 })
  .map((parts) => parts.flat().join(""));

const nastyUnit = fc.oneof(
  fc.constantFrom(
    "\uD83D\uDE00",
    "\uD83D",
    "𝐀",
    "\uDE00",
    "\u0301",
    "\u200D",
    "\u0001",
    "\u001F",
    "\u0085",
    "\u2028",
    "\uFEFF",
    "\u3000",
    "\t",
    "\r",
    "\v",
    "|",
    "-",
    "#",
    "`",
    "~",
    ">",
    "*",
    "漢",
    "ก",
    "a",
    ".",
  ),
  fc.string({ unit: "binary", maxLength: 8 }).map((text) => text.replaceAll("\0", "")),
);
const nasty = fc
  .array(fc.tuple(nastyUnit, fc.constantFrom(1, 1, 2, 40, 700, 1_001, 1_500)), { maxLength: 12 })
  .map((runs) => runs.map(([unit, count]) => unit.repeat(count)).join(""));

const sizes = fc
  .record({
    maxTokens: fc.integer({ min: 16, max: 450 }),
    overlap: fc.integer({ min: 0, max: 60 }),
    orphan: fc.integer({ min: 0, max: 50 }),
  })
  .map(({ maxTokens, overlap, orphan }) => ({
    maxTokens,
    overlapTokens: Math.floor((maxTokens * overlap) / 100),
    minTokens: Math.floor((maxTokens * orphan) / 100),
  }));

function documents(text: fc.Arbitrary<string>) {
  const pages = fc
    .array(text, { maxLength: 4 })
    .map((texts) => texts.map((page, index) => ({ page_number: index + 1, text: page })));
  return fc.record({ pages, markdown: fc.boolean(), options: sizes });
}

/** The first counterexample in words; "" when every run kept every promise. */
function counterexample(input: fc.Arbitrary<ChunkInput>, numRuns: number): string {
  const property = fc.property(input, (document) => {
    chunkAndVerify(document);
  });
  return fc.defaultReportMessage(fc.check(property, { numRuns, includeErrorInReport: true })) ?? "";
}

describe("any document", () => {
  it("keeps every promise on generated Markdown", () => {
    expect(counterexample(documents(markdown), 250)).toBe("");
  });

  it("keeps every promise where a chunk that gave up its overlap would fit into the next one's", () => {
    const text = "```js\n\n\nthe\n===\n\n# 漢字\n \t\n- 10% the\n- e\u0301 the the";
    const options = { maxTokens: 16, overlapTokens: 9, minTokens: 0 };
    expect(chunkAndVerify({ pages: [{ page_number: 1, text }], markdown: true, options })).toHaveLength(3);
  });

  it("keeps every promise on control characters, broken surrogates, scripts without spaces and long runs", () => {
    expect(counterexample(documents(nasty), 40)).toBe("");
  });

  it("gives the same chunks again", () => {
    fc.assert(
      fc.property(documents(fc.oneof(markdown, nasty)), (input) => {
        expect(chunkDocument(input)).toEqual(chunkDocument(input));
      }),
      { numRuns: 30 },
    );
  });
});

describe("documents made to hang a chunker", () => {
  const size = 500_000;
  it.each([
    ["one run of a letter", "a".repeat(size)],
    [
      "one run of different letters",
      Array.from({ length: size / 12 }, (_, index) => (index * index).toString(36).replaceAll(/\d/gu, "q")).join(""),
    ],
    ["one run of CJK", "漢字".repeat(size / 2)],
    ["white space between two words", `a${" ".repeat(size)}b`],
    ["one paragraph of tiny lines", "x\n".repeat(size / 2)],
    ["a line of full stops", ". ".repeat(size / 2)],
    ["one list", "- item\n  - nested\n".repeat(size / 20)],
    ["one unbroken list line of markers", "- ".repeat(size / 2)],
    ["one quote in another", ">".repeat(size)],
    ["one table", `| a | b |\n|---|---|\n${"| cell | cell |\n".repeat(size / 16)}`],
    ["one table row", `| a | b |\n|---|---|\n|${" cell |".repeat(size / 7)}`],
    ["a delimiter row without end", `${"|".repeat(size)}\n${"|-".repeat(size / 2)}`],
    ["an unclosed fence", `\`\`\`\n${"code();\n".repeat(size / 8)}`],
    ["headings without text", "# h\n## i\n".repeat(size / 18)],
    ["headings of brackets and stars", `# ${"[*a `b _c ".repeat(100)}\n\nx\n\n`.repeat(size / 1_000)],
    ["one run of letters outside of the BMP", `x${"𝐀".repeat(size / 20)}`],
    ["combining marks on one letter", `a${"\u0301".repeat(size)}`],
  ])("finishes %s", (_name, text) => {
    const chunks = chunkAndVerify({ pages: [{ page_number: 1, text }], markdown: true });
    expect(chunks.at(-1)?.char_end).toBe(text.trimEnd().length);
  });

  it("finishes thousands of tiny and empty pages", () => {
    const pages = Array.from({ length: 20_000 }, (_, index) => ({
      page_number: index + 1,
      text: index % 3 === 0 ? "" : `Page ${index}.`,
    }));
    const chunks = chunkDocument({ pages, markdown: true });
    expect(chunks.at(-1)?.page_end).toBe(20_000);
  });
});
