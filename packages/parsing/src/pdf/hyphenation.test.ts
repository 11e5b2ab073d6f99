import { describe, expect, test } from "vitest";
import { hyphensByUsage } from "./hyphenation.ts";

describe("the hyphen at a line's end", () => {
  test.each([
    ["low-", "income"],
    ["Self-", "insured"],
    ["non\u2010", "smoker"],
    ["third-", "party"],
    ["half-", "yearly"],
    ["cross-", "border"],
    ["in-", "network"],
    ["out-", "of-pocket"],
    ["co-", "payment"],
    ["pre-", "existing"],
    ["post-", "operative"],
    ["all-", "risk"],
    ["anti-", "theft"],
    ["ex-", "spouse"],
    ["out-of-", "network"],
  ])("of %s %s stays where the word stands nowhere else", (before, after) => {
    expect(hyphensByUsage([])(`who is ${before}`, `${after}, and`)).toBe(true);
  });

  test.each([
    ["infor-", "mation"],
    ["in-", "surance"],
    ["in-", "formation"],
    ["pre-", "mium"],
    ["ex-", "clusion"],
    ["co-", "verage"],
    ["all-", "owance"],
    ["out-", "side"],
    ["post-", "pone"],
    ["low-", "er"],
    ["short-", "age"],
    ["bene\u00ad", "fit"],
  ])("of %s %s goes", (before, after) => {
    expect(hyphensByUsage([])(`who is ${before}`, `${after}, and`)).toBe(false);
  });

  test("follows the way the document writes the word", () => {
    const keeps = hyphensByUsage(["nonsmoker", "co-author"]);
    expect(keeps("a non-", "smoker")).toBe(false);
    expect(keeps("a co-", "author")).toBe(true);
  });
});
