import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { strFromU8, unzipSync } from "fflate";
import { getDocument } from "pdfjs-dist/legacy/build/pdf.mjs";
import { expect, test } from "vitest";
import { z } from "zod";
import { buildSamples } from "./build.ts";

const QUESTION = z.strictObject({
  question: z.string().endsWith("?"),
  file: z.string(),
  page: z.int().positive(),
  answer: z.string().regex(/^[^\n*_|]+$/),
  demo: z.boolean(),
});

const questions = z.array(QUESTION).parse(JSON.parse(await readFile(sample("questions.json"), "utf8")));
const files = ["benefits-booklet.pdf", "home-policy.docx", "renewal-letter.md", "claims-guide.html"];
const pages = new Map(await Promise.all(files.map(async (file) => [file, await readPages(file)] as const)));

test("building the samples again gives the committed files, byte for byte", async () => {
  const folder = await mkdtemp(join(tmpdir(), "samples-"));
  try {
    for (const name of await buildSamples(folder)) {
      const [built, committed] = await Promise.all([readFile(join(folder, name)), readFile(sample(name))]);
      expect(built.equals(committed), `${name} differs: run build.ts and commit the result`).toBe(true);
    }
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("the booklet has 12 pages and each says which one it is", () => {
  const booklet = pages.get("benefits-booklet.pdf") ?? [];
  expect(booklet.map((text) => /Page \d+ of \d+/.exec(text)?.[0])).toEqual(
    Array.from({ length: 12 }, (_, index) => `Page ${index + 1} of 12`),
  );
});

test("each page of the policy begins with its title or the heading of a part", () => {
  const policy = pages.get("home-policy.docx") ?? [];
  expect(policy.map((text) => text.slice(0, 7))).toEqual([
    "Harbour",
    "Part 1:",
    "Part 2:",
    "Part 3:",
    "Part 4:",
    "Part 5:",
    "Part 6:",
  ]);
});

test("every sample has a question", () => {
  expect(new Set(questions.map(({ file }) => file))).toEqual(new Set(files));
});

test.each(questions)("$answer stands on page $page of $file and on no other", ({ file, page, answer }) => {
  const found = (pages.get(file) ?? []).flatMap((text, index) => (text.includes(answer) ? [index + 1] : []));
  expect(found).toEqual([page]);
});

function sample(name: string): string {
  return join(import.meta.dirname, name);
}

async function readPages(name: string): Promise<string[]> {
  const bytes = new Uint8Array(await readFile(sample(name)));
  const texts = name.endsWith(".pdf")
    ? await readPdf(bytes)
    : name.endsWith(".docx")
      ? readDocx(bytes)
      : [strFromU8(bytes)];
  return texts.map((text) => text.replaceAll(/\s+/g, " ").trim());
}

async function readPdf(data: Uint8Array): Promise<string[]> {
  const loading = getDocument({ data, verbosity: 0 });
  const pdf = await loading.promise;
  const texts: string[] = [];
  for (let number = 1; number <= pdf.numPages; number++) {
    const content = await (await pdf.getPage(number)).getTextContent();
    texts.push(content.items.map((item) => ("str" in item ? `${item.str}${item.hasEOL ? "\n" : ""}` : "")).join(""));
  }
  await loading.destroy();
  return texts;
}

function readDocx(data: Uint8Array): string[] {
  const body = strFromU8(unzipSync(data)["word/document.xml"] ?? new Uint8Array());
  return body.split('<w:br w:type="page"/>').map((page) =>
    page
      .replaceAll("</w:p>", "\n")
      .replaceAll(/<[^>]+>/g, "")
      .replaceAll("&apos;", "'"),
  );
}
