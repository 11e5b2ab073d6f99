import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "../../..");

async function sources(): Promise<string[]> {
  const folders = ["apps", "packages"].map((folder) => readdir(join(ROOT, folder), { recursive: true }));
  const [apps = [], packages = []] = await Promise.all(folders);
  const paths = [...apps.map((path) => join("apps", path)), ...packages.map((path) => join("packages", path))];
  return paths.filter(
    (path) => path.endsWith(".ts") && !/node_modules|\.(test|suite|fixture)\.ts$|\/(testing|fixtures)\//.test(path),
  );
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
