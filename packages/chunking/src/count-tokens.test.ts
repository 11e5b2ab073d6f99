import { encode } from "gpt-tokenizer/encoding/cl100k_base";
import { describe, expect, it } from "vitest";
import { countTokens } from "./count-tokens.ts";

describe("countTokens", () => {
  it("agrees with the encoding on text without long runs", () => {
    const text = "Die Kasse zahlt 80 % — naïve café, 保険契約。\n\n\tcode();  👩‍👩‍👧 e\u0301 \u0001".repeat(60);
    expect(countTokens(text)).toBe(encode(text).length);
    expect(countTokens("a".repeat(1_000))).toBe(encode("a".repeat(1_000)).length);
    expect(countTokens("hello world")).toBe(2);
    expect(countTokens("")).toBe(0);
  });

  it("counts the names of special tokens as plain text", () => {
    for (const name of ["<|endoftext|>", "<|im_start|>", "<|fim_prefix|>", "<|endofprompt|>"]) {
      expect(countTokens(name)).toBeGreaterThan(3);
    }
  });

  it("comes close to the encoding on longer runs", () => {
    for (const unit of ["a", " ", "=", "漢", "\n"]) {
      const run = unit.repeat(3_000);
      const exact = encode(run).length;
      expect(countTokens(run)).toBeGreaterThanOrEqual(exact);
      expect(countTokens(run)).toBeLessThanOrEqual(exact * 1.1 + 12);
    }
  });

  it("finishes a run of two million characters, and never cuts a surrogate pair", () => {
    expect(countTokens("a".repeat(2_000_000))).toBeGreaterThan(200_000);
    expect(countTokens(`x${"😀".repeat(50_000)}`)).toBe(1 + countTokens("😀") * 50_000);
  });

  it("finishes a run that is longer than the stack of an expression holds", () => {
    for (const unit of ["-", " ", "漢"]) expect(countTokens(`漢${unit.repeat(6_000_000)}.`)).toBeGreaterThan(10_000);
  });
});
