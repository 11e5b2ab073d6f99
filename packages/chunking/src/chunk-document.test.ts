import { describe, expect, it } from "vitest";
import type { Chunk } from "./chunk-document.ts";
import { chunkAndVerify } from "./chunk-document.suite.ts";
import { chunkDocument } from "./chunk-document.ts";
import { countTokens } from "./count-tokens.ts";

const LONG = Array.from({ length: 12 }, (_, index) => `Benefit number ${index} is paid once in a calendar year.`).join(
  " ",
);

function sentencesOf(count: number): string {
  return Array.from(
    { length: count },
    (_, index) => `Sentence ${index} says that the plan pays for visit ${index * 7}.`,
  ).join(" ");
}

function chunkMarkdown(text: string, options = {}): Chunk[] {
  return chunkAndVerify({ pages: [{ page_number: 1, text }], markdown: true, options });
}

function chunkHolding(chunks: Chunk[], words: string): Chunk | undefined {
  return chunks.find((chunk) => chunk.text.includes(words));
}

describe("headings", () => {
  it("a chunk stands under the headings above it, its own included, outermost first", () => {
    const chunks = chunkMarkdown(
      `# Policy\n\n${LONG}\n\n## Dental *care*\n\n${LONG} X-rays.\n\n### Limits\n\n${LONG} Yearly.\n\n# Claims\n\n${LONG} By post.`,
    );
    expect(chunks.map((chunk) => chunk.section_path)).toEqual([
      ["Policy"],
      ["Policy", "Dental care"],
      ["Policy", "Dental care", "Limits"],
      ["Claims"],
    ]);
    expect(chunkHolding(chunks, "X-rays")?.text.startsWith("## Dental *care*\n\nBenefit")).toBe(true);
  });

  it("a heading without text of its own starts the chunk of the section below it", () => {
    const [first, ...others] = chunkMarkdown(`Policy\n======\n\nPart one\n--------\n\n### Scope\n\n${LONG}`);
    expect(others).toEqual([]);
    expect(first?.text.startsWith("Policy\n======\n\nPart one\n--------\n\n### Scope\n\n")).toBe(true);
    expect(first?.section_path).toEqual(["Policy", "Part one", "Scope"]);
  });

  it("a heading stays with a table or code block that needs a chunk for itself", () => {
    const code = `\`\`\`\n${"call(argument, other);\n".repeat(76)}\`\`\``;
    expect(countTokens(code)).toBeGreaterThan(370);
    for (const chunk of chunkMarkdown(`# Short\n\n${LONG}\n\n## Listing of the calls that are made\n\n${code}`)) {
      expect(chunk.text).not.toMatch(/made$/u);
    }
  });

  it("hash signs in code and in plain text are no headings", () => {
    const text = "```sh\n# not a heading\n```\n\n- item\n  ```\n  # neither\n  ```\n\n# Real\n\nText.";
    expect(chunkMarkdown(text, { minTokens: 0 }).map((chunk) => chunk.section_path)).toEqual([[], ["Real"]]);
    const plain = chunkAndVerify({ pages: [{ page_number: 1, text }], markdown: false });
    expect(plain.map((chunk) => chunk.section_path)).toEqual([[]]);
  });

  it("the path goes on over pages, while a fence that nobody closed ends with its page", () => {
    const pages = [
      `# Terms\n\n${LONG}\n\n\`\`\`\ncode`,
      `Still under terms. ${sentencesOf(30)}`,
      `# Claims\n\n${LONG}`,
    ];
    const chunks = chunkAndVerify({
      pages: pages.map((text, index) => ({ page_number: index + 3, text })),
      markdown: true,
    });
    expect(chunkHolding(chunks, "Still under")?.section_path).toEqual(["Terms"]);
    expect(chunks.at(-1)).toMatchObject({ section_path: ["Claims"], page_start: 5, page_end: 5 });
  });
});

describe("tables", () => {
  const rows = Array.from({ length: 60 }, (_, index) => `| Treatment ${index} | ${index * 10} dollars |`);
  const header = "| Treatment | Copay |\n| --- | ---: |";

  it("a table that fits is in one chunk", () => {
    const table = [header, ...rows.slice(0, 20)].join("\n");
    const chunks = chunkMarkdown(`${sentencesOf(20)}\n\n${table}\n\n${sentencesOf(20)}`);
    expect(chunks.some((chunk) => chunk.text.includes(table))).toBe(true);
  });

  it("a table that does not fit is cut between rows, and every part starts with the header", () => {
    const chunks = chunkMarkdown([header, ...rows].join("\n"));
    expect(chunks.length).toBeGreaterThan(1);
    expect(chunks.every((chunk) => chunk.text.startsWith(`${header}\n| Treatment `))).toBe(true);
    const bodies = chunks.flatMap((chunk) => chunk.text.split("\n").slice(2));
    expect(bodies).toEqual(rows);
  });

  it("offsets of a part leave the repeated header out", () => {
    const content = [header, ...rows].join("\n");
    const [, second] = chunkMarkdown(content);
    expect(second?.text).toBe(`${header}\n${content.slice(second?.char_start, second?.char_end)}`);
  });

  it("a header above half a chunk is not repeated", () => {
    const wide = `| ${Array.from({ length: 60 }, (_, index) => `Column ${index}`).join(" | ")} |\n|${" --- |".repeat(60)}`;
    const chunks = chunkMarkdown([wide, ...rows].join("\n"));
    expect(chunks.filter((chunk) => chunk.text.includes("Column 0"))).toHaveLength(1);
  });

  it("a row larger than a chunk is cut, with the header on each part", () => {
    const chunks = chunkMarkdown(`${header}\n| Everything | ${sentencesOf(60)} |\n${rows[0]}`);
    expect(chunks.length).toBeGreaterThan(2);
    expect(chunks.every((chunk) => chunk.text.startsWith(header))).toBe(true);
  });
});

describe("lists, code and paragraphs", () => {
  it("list items are never cut when they fit, with what is nested in them", () => {
    const items = Array.from(
      { length: 12 },
      (_, index) => `- Item ${index}: ${sentencesOf(3)}\n  - nested in ${index}\n\n  More on it.`,
    );
    const chunks = chunkMarkdown(items.join("\n"));
    expect(chunks.length).toBeGreaterThan(1);
    for (const item of items) expect(chunks.some((chunk) => chunk.text.includes(item))).toBe(true);
  });

  it("an item above a chunk is cut at the items nested in it", () => {
    const nested = Array.from({ length: 20 }, (_, index) => `  - Nested ${index}: ${sentencesOf(2)}`);
    const chunks = chunkMarkdown(["- Outer", ...nested].join("\n"));
    for (const item of nested) expect(chunks.some((chunk) => chunk.text.includes(item.trim()))).toBe(true);
  });

  it("a code block that fits is in one chunk, a longer one is cut between lines", () => {
    const lines = Array.from({ length: 150 }, (_, index) => `const value_${index} = compute(${index});`);
    const short = `\`\`\`\n${lines.slice(0, 20).join("\n\n")}\n\`\`\``;
    expect(chunkHolding(chunkMarkdown(`${sentencesOf(25)}\n\n${short}`), "value_0 ")?.text).toContain(short);
    const chunks = chunkMarkdown(`\`\`\`\n${lines.join("\n")}\n\`\`\``);
    for (const chunk of chunks) expect(chunk.text).toMatch(/^(?:```|const)[\s\S]*(?:```|;)$/u);
  });

  it("paragraphs are cut between sentences, line breaks inside of a sentence notwithstanding", () => {
    const text = sentencesOf(100).replaceAll("plan pays", "plan\npays");
    for (const chunk of chunkMarkdown(text)) expect(chunk.text).toMatch(/^Sentence [\s\S]*\.$/u);
  });

  it("a text without sentences is cut between words, one without spaces between words of its language", () => {
    for (const chunk of chunkMarkdown("benefit ".repeat(2_000))) expect(chunk.text).toMatch(/^benefit( benefit)*$/u);
    for (const chunk of chunkMarkdown("保険契約".repeat(1_000))) expect(chunk.text).toMatch(/^(?:保険|契約)+$/u);
  });

  it("a run of 100,000 letters is cut anywhere", () => {
    expect(chunkMarkdown("a".repeat(100_000)).length).toBeGreaterThan(30);
  });
});

describe("overlap", () => {
  it("long prose overlaps by about a fifth, in whole sentences", () => {
    const text = sentencesOf(1_000);
    const chunks = chunkMarkdown(text);
    const ratio = chunks.reduce((sum, chunk) => sum + chunk.token_count, 0) / countTokens(text);
    expect(ratio).toBeGreaterThan(1.12);
    expect(ratio).toBeLessThan(1.26);
    for (const [index, chunk] of chunks.slice(1).entries()) {
      const shared = text.slice(chunk.char_start, chunks[index]?.char_end);
      expect(shared).toMatch(/^Sentence .*\.$/u);
      expect(countTokens(shared)).toBeLessThanOrEqual(80);
    }
  });

  it("sections do not overlap", () => {
    const chunks = chunkMarkdown(`# A\n\n${sentencesOf(60)}\n\n# B\n\n${sentencesOf(60)}`);
    const firstOfB = chunks.find((chunk) => chunk.section_path[0] === "B");
    expect(firstOfB?.text.startsWith("# B")).toBe(true);
  });

  it("is off when it is zero", () => {
    const chunks = chunkMarkdown(sentencesOf(200), { overlapTokens: 0 });
    for (const [index, chunk] of chunks.slice(1).entries())
      expect(chunk.char_start).toBe((chunks[index]?.char_end ?? 0) + 1);
  });
});

describe("orphans", () => {
  it("a short section joins the section above it and takes its path", () => {
    const chunks = chunkMarkdown(`# Policy\n\n${LONG}\n\n## Note\n\nSee page 4.`);
    expect(chunks).toHaveLength(1);
    expect(chunks[0]?.section_path).toEqual(["Policy"]);
  });

  it("a short introduction joins the section below it", () => {
    const chunks = chunkMarkdown(`# Policy\n\nShort.\n\n## Scope\n\n${LONG}`);
    expect(chunks.map((chunk) => chunk.section_path)).toEqual([["Policy", "Scope"]]);
  });

  it("short sections under one heading join, those under different top-level headings stay apart", () => {
    const under = chunkMarkdown("# Policy\n\n## A\n\nOne.\n\n## B\n\nTwo.\n\n## C\n\nThree.");
    expect(under.map((chunk) => chunk.section_path)).toEqual([["Policy"]]);
    const apart = chunkMarkdown("# A\n\nOne.\n\n# B\n\nTwo.");
    expect(apart.map((chunk) => chunk.section_path)).toEqual([["A"], ["B"]]);
  });

  it("does not join what would not fit", () => {
    const chunks = chunkMarkdown(`# Policy\n\n${sentencesOf(28)}\n\n## Note\n\n${sentencesOf(3)}`);
    expect(chunks.map((chunk) => chunk.section_path)).toEqual([["Policy"], ["Policy", "Note"]]);
  });
});

describe("pages", () => {
  it("a chunk names the pages of its first and last character, by their own numbers", () => {
    const pages = [7, 8, 9, 12].map((number) => ({
      page_number: number,
      text: number === 8 ? "" : `Page ${number}. ${sentencesOf(6)}`,
    }));
    const chunks = chunkAndVerify({ pages, markdown: false });
    expect(chunks[0]).toMatchObject({ page_start: 7, page_end: 12 });
  });

  it("a document without text has no chunks", () => {
    expect(chunkDocument({ pages: [], markdown: true })).toEqual([]);
    expect(
      chunkDocument({
        pages: [
          { page_number: 1, text: " \n" },
          { page_number: 2, text: "" },
        ],
        markdown: false,
      }),
    ).toEqual([]);
  });
});

describe("options", () => {
  it.each([{ maxTokens: 15 }, { overlapTokens: 400 }, { minTokens: 401 }, { maxTokens: 99.5 }, { overlapTokens: -1 }])(
    "refuses %j",
    (options) => {
      expect(() => chunkDocument({ pages: [], markdown: true, options })).toThrow(
        expect.objectContaining({ kind: "invalid", code: "invalid_chunk_options" }),
      );
    },
  );
});
