import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { lockDirectory } from "./lock-directory.ts";

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "lock-test-"));
});

afterEach(async () => {
  await rm(directory, { recursive: true });
});

test("a directory is one owner's until it is given back", async () => {
  const unlock = await lockDirectory(directory);
  await expect(lockDirectory(directory)).rejects.toMatchObject({ code: "data_directory_in_use" });
  await unlock();
  await (
    await lockDirectory(directory)
  )();
  expect(await readdir(directory)).toEqual([]);
});

test.each([
  ["an empty lock", ""],
  ["a lock of a process that is gone", "4194305 1"],
  ["a lock of a number that now is another process's", "1 987654321"],
])("%s is taken over", async (_what, content) => {
  await writeFile(join(directory, "lock"), content);
  await lockDirectory(directory);
  await expect(lockDirectory(directory)).rejects.toMatchObject({ code: "data_directory_in_use" });
});

test("of many at once exactly one gets it", async () => {
  const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => lockDirectory(directory)));
  expect(outcomes.filter((outcome) => outcome.status === "fulfilled")).toHaveLength(1);
});
