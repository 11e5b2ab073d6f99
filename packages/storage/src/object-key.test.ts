import { describe, expect, it } from "vitest";
import { isObjectKey, requireObjectKey } from "./object-key.ts";

const A = "3f0c1a52-9d51-5c0e-8d0f-0a1b2c3d4e5f";
const B = "7b9e6a10-1c2d-4e3f-9a8b-5c6d7e8f9a0b";

describe("object keys", () => {
  it.each([A, `${A}/${B}`, `${A}/${B}/${A}/${B}`])("%s is a key", (key) => {
    expect(isObjectKey(key)).toBe(true);
    expect(() => requireObjectKey(key)).not.toThrow();
  });

  it.each([
    ["empty", ""],
    ["a name", "test/path/document.pdf"],
    ["a way up", `../${A}`],
    ["a way up inside", `${A}/../${B}`],
    ["an encoded way up", `${A}/%2e%2e/${B}`],
    ["absolute", `/${A}`],
    ["a trailing slash", `${A}/`],
    ["a double slash", `${A}//${B}`],
    ["a backslash", `${A}\\${B}`],
    ["a line break at the end", `${A}\n`],
    ["a null byte", `${A}\0`],
    ["upper case", A.toUpperCase()],
    ["only hex and dashes", "3f0c-1a52"],
    ["an extension", `${A}.object`],
    ["five parts", [A, A, A, A, A].join("/")],
  ])("%s is not a key", (_, key) => {
    expect(isObjectKey(key)).toBe(false);
    expect(() => requireObjectKey(key)).toThrow(
      expect.objectContaining({ kind: "invalid", code: "invalid_object_key" }),
    );
  });
});
