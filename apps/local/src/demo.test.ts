import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { killStarted, ROOT, startCommand } from "./spawn.fixture.ts";

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "demo-test-"));
});

afterAll(async () => {
  killStarted();
  await rm(directory, { recursive: true });
});

const STATUSES_LINE = "10 statuses in order";

async function file(name: string, content: string | Buffer): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, content);
  return path;
}

const LETTER = `# Your new premium

We have reviewed your contract. From the first of March the monthly premium for the bicycle rider is 7.25 crowns.

# How to object

You can object in writing within six weeks of receiving this letter. Send it to the branch that signed your contract.
`;

test("the samples become complete and their questions are answered from the page that holds the answer", async () => {
  const demo = startCommand("apps/local/src/demo.ts");
  expect(await demo.ended, demo.output()).toBe(0);
  expect(demo.output().match(new RegExp(STATUSES_LINE, "g"))).toHaveLength(4);
  expect(demo.output()).toMatch(/4 of 4 files complete, 7 of 7 answers confirmed on the cited page/);
});

test("files of the caller's own are ingested and cited, and each bad one fails by its code without the others", async () => {
  const pdf = await readFile(join(ROOT, "samples/benefits-booklet.pdf"));
  const files = [
    await file("letter.md", LETTER),
    await file("letter.txt", LETTER.replaceAll("#", "")),
    await file("truncated.pdf", pdf.subarray(0, 40_000)),
    await file("mislabelled.pdf", "This is plain text, whatever its name says."),
    await file("empty.html", ""),
    await file("photo.jpeg", "irrelevant"),
    join(directory, "missing.docx"),
  ];
  const demo = startCommand("apps/local/src/demo.ts", { args: files });
  expect(await demo.ended, demo.output()).toBe(1);
  const output = demo.output();
  expect(output).toMatch(/2 of 7 files complete/);
  expect(output).toMatch(/the cited text holds this sentence/);
  for (const [name, code] of [
    ["truncated.pdf", "damaged_file"],
    ["mislabelled.pdf", "content_mismatch"],
    ["empty.html", "empty_file"],
    ["photo.jpeg", "unsupported_type"],
    ["missing.docx", "file_not_found"],
  ]) {
    expect(output).toMatch(new RegExp(`✗ .*${name}\\n +${code}: `));
  }
});

test("questions of the caller's own are asked, also before the files, about fresh data of the demo's own", async () => {
  const letter = await file("asked.md", LETTER);
  const args = ["--ask", "How long do I have to object?", letter, letter, await file("copy.txt", LETTER)];
  const env = { DATABASE_URL: "postgresql://nobody@127.0.0.1:1/none" };
  const demo = startCommand("apps/local/src/demo.ts", { args, env });
  expect(await demo.ended, demo.output()).toBe(0);
  expect(demo.output()).toMatch(/within six weeks[\s\S]*(asked\.md|copy\.txt), page 1/);
  // A file that is named twice is one file.
  expect(demo.output()).toContain("2 of 2 files complete, 1 of 1 questions answered.");
});

test("an interrupted demo leaves nothing behind", async () => {
  const TMPDIR = join(directory, "tmp");
  await mkdir(TMPDIR);
  const demo = startCommand("apps/local/src/demo.ts", { env: { TMPDIR } });
  await demo.printed(/Ingesting/);
  demo.child.kill("SIGINT");
  expect(await demo.ended).toBe(130);
  expect(await readdir(TMPDIR)).toEqual([]);
});
