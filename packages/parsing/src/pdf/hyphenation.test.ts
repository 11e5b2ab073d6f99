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
    expect(hyphensByUsage([])(`who is ${before}`, `${after}, and`)).toBe("kept");
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
    expect(hyphensByUsage([])(`who is ${before}`, `${after}, and`)).toBe("gone");
  });

  test("follows the way the document writes the word", () => {
    const hyphenAt = hyphensByUsage(["nonsmoker", "co-author"]);
    expect(hyphenAt("a non-", "smoker")).toBe("gone");
    expect(hyphenAt("a co-", "author")).toBe("kept");
  });

  test.each([
    ["Kranken-", "und Pflegeversicherung"],
    ["Be-", "oder Entladung"],
    ["Ein-", "bzw. Ausgang"],
    ["Haus-", "sowie Grundbesitz"],
    ["pre-", "and postnatal visits"],
    ["in-", "or outpatient care"],
    ["short-", "to medium-term plans"],
    ["KRANKEN-", "UND PFLEGEVERSICHERUNG"],
    ["pre-", "and"],
  ])("of %s %s stays with a space behind it", (before, after) => {
    expect(hyphensByUsage([])(`the ${before}`, after)).toBe("suspended");
  });

  test.each([
    ["Kfz-", "Versicherung"],
    ["non-", "EU countries"],
    ["non\u2010", "Europeans"],
  ])("of %s %s stays before the capital", (before, after) => {
    expect(hyphensByUsage([])(`the ${before}`, after)).toBe("kept");
  });

  test.each([
    ["Sek-", "unden danach"],
    ["pagamen-", "to del premio"],
    ["cus-", "tomers"],
    ["stand-", "ards"],
    ["Kfz\u00ad", "Versicherung"],
  ])("of %s %s is a plain one's", (before, after) => {
    expect(hyphensByUsage([])(`the ${before}`, after)).toBe("gone");
  });

  test("before a joining word goes where both are one word elsewhere", () => {
    expect(hyphensByUsage(["senior"])("the seni-", "or managers")).toBe("gone");
  });
});
