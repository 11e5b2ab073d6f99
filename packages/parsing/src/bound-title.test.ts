import { expect, test } from "vitest";
import { boundTitle } from "./bound-title.ts";

test.each([
  ["blanks around it and between its words", "  Home\n\n\tpolicy ", "Home policy"],
  ["500 characters", "a".repeat(500), "a".repeat(500)],
  ["more than 500", "a".repeat(1_000_000), "a".repeat(500)],
  ["a pair of surrogates at the cut", `${"a".repeat(499)}😀`, "a".repeat(499)],
  ["a pair before the cut", `${"a".repeat(498)}😀b`, `${"a".repeat(498)}😀`],
  ["a blank at the cut", `${"a".repeat(499)} b`, "a".repeat(499)],
  ["blanks alone", " \n ", null],
  ["no title", null, null],
])("a title of %s", (_, title, bounded) => {
  expect(boundTitle(title)).toBe(bounded);
});
