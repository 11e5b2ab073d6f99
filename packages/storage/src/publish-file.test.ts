import { mkdtemp, readdir, readFile, rm, rmdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { publishFile, writeNewFile } from "./publish-file.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "publish-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

describe("publishing a file", () => {
  it("never replaces one that has the name", async () => {
    const target = join(root, "a", "b", "file");
    await writeNewFile(join(root, "first"), "first");
    await writeNewFile(join(root, "second"), "second");
    expect(await publishFile(join(root, "first"), { target, root })).toBe(true);
    expect(await publishFile(join(root, "second"), { target, root })).toBe(false);
    expect(await readFile(target, "utf8")).toBe("first");
  });

  it("works in a directory that others remove whenever it is empty", async () => {
    const directory = join(root, "contested");
    const partial = join(root, "partial");
    await writeNewFile(partial, "whole");
    const publishAndRemove = async (target: string) => {
      expect(await publishFile(partial, { target, root })).toBe(true);
      await rm(target);
      await rmdir(directory).catch(() => {}); // refused while another file is there, which is the point
    };
    const publishers = Array.from({ length: 8 }, async (_, publisher) => {
      for (let round = 0; round < 25; round += 1) await publishAndRemove(join(directory, `${publisher}-${round}`));
    });
    await Promise.all(publishers);
    expect(await readdir(root)).toEqual(["partial"]);
  });

  it("fails when the file is gone, instead of trying for ever", async () => {
    const target = join(root, "a", "file");
    await expect(publishFile(join(root, "gone"), { target, root })).rejects.toMatchObject({ code: "ENOENT" });
  });

  it("does not write over a file that is being written by another", async () => {
    await writeNewFile(join(root, "partial"), "mine");
    await expect(writeNewFile(join(root, "partial"), "yours")).rejects.toMatchObject({ code: "EEXIST" });
    expect(await readdir(root)).toEqual(["partial"]);
  });
});
