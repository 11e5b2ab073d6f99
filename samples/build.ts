import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { readSource } from "./read-source.ts";
import { renderDocx } from "./render-docx.ts";
import { renderPdf } from "./render-pdf.ts";

const HERE = import.meta.dirname;

/** Builds the PDF and the Word file from `source/` into a folder, and returns their names. Bytes never vary. */
export async function buildSamples(folder: string): Promise<string[]> {
  await mkdir(folder, { recursive: true });
  const booklet = await renderPdf(await read("benefits-booklet.md"), {
    title: "Health and Dental Benefits Booklet",
    header: "Harbour Mutual · Health and Dental Benefits Booklet · Group contract 40718",
    date: "2026-01-01",
  });
  const policy = await renderDocx(await read("home-policy.md"), {
    title: "Homeowner's Policy HM-HO-2291847",
    header: "Harbour Mutual · Homeowner's Policy HM-HO-2291847 · Form HO-3C",
    date: "2025-05-01",
  });
  await writeFile(join(folder, "benefits-booklet.pdf"), booklet);
  await writeFile(join(folder, "home-policy.docx"), policy);
  return ["benefits-booklet.pdf", "home-policy.docx"];
}

async function read(name: string) {
  return readSource(await readFile(join(HERE, "source", name), "utf8"));
}

if (import.meta.main) await buildSamples(HERE);
