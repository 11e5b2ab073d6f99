import { describe, expect, it } from "vitest";
import { countTokens } from "./count-tokens.ts";
import { embeddingText } from "./embedding-text.ts";

describe("embeddingText", () => {
  it("puts title and headings on a line above the chunk", () => {
    expect(embeddingText({ title: "Gold plan", section_path: ["Policy", "Dental"], text: "## Dental\n\nPaid." })).toBe(
      "Gold plan > Policy > Dental\n## Dental\n\nPaid.",
    );
  });

  it("leaves out what is missing, blank or said twice", () => {
    expect(embeddingText({ title: null, section_path: [], text: "Paid." })).toBe("Paid.");
    expect(embeddingText({ title: " \n", section_path: ["A"], text: "Paid." })).toBe("A\nPaid.");
    expect(embeddingText({ title: "A", section_path: ["A", "B"], text: "Paid." })).toBe("A > B\nPaid.");
    expect(embeddingText({ title: "two\nlines", section_path: [], text: "Paid." })).toBe("two lines\nPaid.");
  });

  it.each([
    ["title", { title: "漢字 ".repeat(50_000), section_path: [], text: "Paid." }],
    ["path", { title: null, section_path: Array.from({ length: 6 }, () => "😀".repeat(5_000)), text: "Paid." }],
    ["text", { title: "T", section_path: [], text: "保険 contract ".repeat(50_000) }],
    ["run", { title: "T", section_path: [], text: `runs ${"😀".repeat(50_000)}` }],
  ])("stays within what the model takes, however long the %s", (_name, input) => {
    const text = embeddingText(input);
    expect(countTokens(text)).toBeLessThanOrEqual(8_192);
    expect(text.isWellFormed()).toBe(true);
    expect(text).toContain(`\n${input.text.slice(0, 5)}`);
  });

  it("keeps a text that fits as it is", () => {
    const text = "word ".repeat(7_000).trim();
    expect(embeddingText({ title: null, section_path: ["A"], text })).toBe(`A\n${text}`);
  });
});
