import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "../../..");

/** Below each `src` alone: `node_modules` leads from every package into all that it depends on, again and again. */
async function sources(): Promise<string[]> {
  const members = await Promise.all(["apps", "packages"].map(listMembers));
  const found = await Promise.all(members.flat().map(listSources));
  return found.flat().filter((path) => !/\.(test|suite|fixture)\.ts$|\/(testing|fixtures)\//.test(path));
}

async function listMembers(folder: string): Promise<string[]> {
  const names = await readdir(join(ROOT, folder));
  return names.map((name) => join(folder, name, "src"));
}

async function listSources(folder: string): Promise<string[]> {
  const paths = await readdir(join(ROOT, folder), { recursive: true });
  return paths.filter((path) => path.endsWith(".ts")).map((path) => join(folder, path));
}

test("every code that the source names is explained in docs/codes.md", async () => {
  const page = await readFile(join(ROOT, "docs/codes.md"), "utf8");
  const explained = new Set(
    [...page.matchAll(/`([a-z][a-z0-9]*(?:_[a-z0-9]+)+|unauthorized|aborted)`/g)].map((match) => match[1]),
  );
  const texts = await Promise.all((await sources()).map((path) => readFile(join(ROOT, path), "utf8")));
  const named = texts.flatMap((text) =>
    [...text.matchAll(/\b(?:code: |Unavailable\()"([a-z0-9]+(?:_[a-z0-9]+)+)"/g)].map((match) => match[1]),
  );
  const missing = new Set(named.filter((code) => !explained.has(code)));
  expect([...missing]).toEqual([]);
});
