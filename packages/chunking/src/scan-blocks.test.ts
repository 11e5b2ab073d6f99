import fc from "fast-check";
import { fromMarkdown } from "mdast-util-from-markdown";
import { describe, expect, it } from "vitest";
import { scanMarkdown } from "./scan-blocks.ts";

const line = fc.constantFrom(
  "",
  "",
  "",
  "words of a paragraph",
  "# One",
  "## Two ##",
  "####### seven",
  "#hashtag",
  " ### Three",
  "===",
  "---",
  "***",
  "- item",
  "  - nested",
  "  continued",
  "1. first",
  "```",
  "~~~",
  "`code` # text",
  "- ```",
  "| a | b |",
  "\\# escaped",
);

function headingsOf(markdown: string): { depth: number; start: number }[] {
  return scanMarkdown(markdown, 0).flatMap((block) =>
    block.kind === "heading" ? [{ depth: block.depth, start: block.range.start }] : [],
  );
}

describe("scanMarkdown", () => {
  it("takes up to three spaces for the indent of a heading and four for code", () => {
    expect(headingsOf("   # One\n\n    # Two")).toEqual([{ depth: 1, start: 0 }]);
  });

  it("finishes lines that are longer than the stack of an expression holds", () => {
    for (const start of ["```", "~~~", "- ```", "=", "  ", "- "]) {
      for (const unit of ["a", " "]) {
        const text = `${start}${unit.repeat(6_000_000)}漢`;
        expect(scanMarkdown(text, 0).at(-1)?.range).toEqual({ start: 0, end: text.length });
      }
    }
  });

  it("finds the headings that CommonMark finds", () => {
    fc.assert(
      fc.property(fc.array(line, { maxLength: 12 }), (lines) => {
        const markdown = lines.join("\n");
        const expected = fromMarkdown(markdown).children.flatMap((node) =>
          node.type === "heading"
            ? [{ depth: node.depth, start: markdown.lastIndexOf("\n", node.position?.start.offset) + 1 }]
            : [],
        );
        expect(headingsOf(markdown)).toEqual(expected);
      }),
      { numRuns: 500 },
    );
  });
});
