import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { placeDirectory } from "./prepared-directory.ts";

let parent: string;
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), "pipeline-prepared-"));
});
afterEach(() => rm(parent, { recursive: true }));

/** Makes directories that say how many were made before. */
function createMaker(): { make: (directory: string) => Promise<void>; count: () => number } {
  let made = 0;
  return {
    make: async (directory) => {
      await mkdir(directory);
      await writeFile(join(directory, "number"), String(made));
      made += 1;
    },
    count: () => made,
  };
}

const numberIn = (directory: string): Promise<string> => readFile(join(directory, "number"), "utf8");

test("the first directory is kept, and the next ones are copies of it", async () => {
  const { make, count } = createMaker();
  const kept = join(parent, "cache", "kept");
  const places = ["one", "two"].map((name) => join(parent, name, "data"));

  for (const place of places) await placeDirectory(place, { make, kept });

  expect(count()).toBe(1);
  expect(await Promise.all([...places, kept].map(numberIn))).toEqual(["0", "0", "0"]);
  expect(await readdir(join(parent, "cache"))).toEqual(["kept"]);
});

test("a directory with data stays as it is", async () => {
  const place = join(parent, "data");
  await mkdir(place);
  await writeFile(join(place, "number"), "mine");

  await placeDirectory(place, { make: createMaker().make, kept: join(parent, "kept") });

  expect(await readdir(place)).toEqual(["number"]);
  expect(await numberIn(place)).toBe("mine");
});

test("half a copy of a start that was killed is begun again", async () => {
  const place = join(parent, "data");
  await mkdir(`${place}.new`);
  await writeFile(join(`${place}.new`, "half"), "");

  await placeDirectory(place, { make: createMaker().make, kept: join(parent, "kept") });

  expect(await readdir(place)).toEqual(["number"]);
});

test("where nothing can be kept, each directory is made", async () => {
  const { make } = createMaker();
  await writeFile(join(parent, "a file"), "");
  const place = join(parent, "data");

  await placeDirectory(place, { make, kept: join(parent, "a file", "kept") });

  expect(await numberIn(place)).toBe("0");
});

test("a directory that cannot be made is nobody's, and the next start tries again", async () => {
  const kept = join(parent, "kept");
  const place = join(parent, "data");
  const failing = placeDirectory(place, { make: () => Promise.reject(new Error("no space")), kept });
  await expect(failing).rejects.toThrow("no space");
  expect(await readdir(parent)).toEqual([]);

  await placeDirectory(place, { make: createMaker().make, kept });

  expect(await numberIn(place)).toBe("0");
});
