import { InvalidArgumentError } from "commander";
import { expect, test } from "vitest";
import { parseAge, parseLimit, parseText, parseTime, parseUser } from "./options.ts";

test("what an option may hold is taken", () => {
  expect(parseLimit("1000")).toBe(1_000);
  expect(parseUser("3F2504E0-4F89-11D3-9A0C-0305E82C3301")).toBe("3f2504e0-4f89-11d3-9a0c-0305e82c3301");
  expect(parseTime("2026-01-31T12:00:00+02:00")).toEqual(new Date("2026-01-31T10:00:00Z"));
  expect(parseTime("2026-01-31")).toEqual(new Date("2026-01-31T00:00:00Z"));
  expect(parseAge("4w")).toBe(28);
  expect(parseText("down -- again")).toBe("down -- again");
});

test.each([
  ["limit", parseLimit, ["0", "1001", "many", "", "1.5"]],
  ["user", parseUser, ["ana", "3f2504e0", ""]],
  ["time", parseTime, ["yesterday", "2026-13-01", "2026-01-31T12:00:00", ""]],
  ["text", parseText, ["--json", "--"]],
  ["age", parseAge, ["30", "0d", "-1d", "1y", ""]],
])("any other %s is refused", (_what, parse, wrong) => {
  for (const text of wrong) expect(() => parse(text), text).toThrow(InvalidArgumentError);
});
