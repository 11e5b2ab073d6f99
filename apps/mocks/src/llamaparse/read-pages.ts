import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseDocument } from "@pipeline/parsing";
import { AppError, type Format, formatOfMime, mimeOfFilename } from "@pipeline/runtime";
import type { JobError, ParseFile } from "./job.ts";

export type PagesRead = { pages: string[] } | { error: JobError };
/** The Markdown of each page, or why there is none. */
export type ReadPages = (file: ParseFile, options: { signal: AbortSignal }) => Promise<PagesRead>;

/** Each document is read by a process of its own. */
const MOST_AT_ONCE = 2;

/** Reads with the pipeline's own parser, so that the emulator's text is that of the document. */
export function createPageReader(): ReadPages {
  const takeTurn = createTurns(MOST_AT_ONCE);
  return async (file, { signal }) => {
    const format = findFormat(file);
    if (format === undefined) return { error: "UNSUPPORTED_FILE_TYPE" };
    if (file.bytes.length === 0) return { error: "NO_DATA_FOUND_IN_FILE" };
    if (format === "text" || format === "markdown") return { pages: splitText(file.bytes) };
    return takeTurn(() => parse(file, { format, signal }));
  };
}

/** Clients that send bytes alone name no type. */
function findFormat({ mime, name, bytes }: ParseFile): Format | undefined {
  const named = formatOfMime(mime) ?? formatOfMime(mimeOfFilename(name) ?? "");
  if (named !== undefined) return named;
  return bytes.subarray(0, 1024).includes("%PDF-") ? "pdf" : undefined;
}

/** A form feed begins a page. */
function splitText(bytes: Buffer): string[] {
  return bytes
    .toString("utf8")
    .replace(/\f\s*$/, "")
    .split("\f");
}

async function parse(
  { bytes }: ParseFile,
  { format, signal }: { format: Format; signal: AbortSignal },
): Promise<PagesRead> {
  const folder = await mkdtemp(join(tmpdir(), "llamaparse-"));
  try {
    const path = join(folder, "document");
    await writeFile(path, bytes);
    const { pages } = await parseDocument({ path, format, signal });
    return { pages: pages.map(({ text }) => text) };
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return { error: ERROR_BY_CODE.get(error.code) ?? "PDF_IS_BROKEN" };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The parser's codes in the service's words; whatever else is wrong with a file, it is broken. */
const ERROR_BY_CODE: ReadonlyMap<string, JobError> = new Map([
  ["password_protected", "PDF_IS_PROTECTED"],
  ["empty_file", "NO_DATA_FOUND_IN_FILE"],
  ["no_text", "NO_DATA_FOUND_IN_FILE"],
  ["too_many_pages", "TOO_MANY_PAGES"],
  ["text_too_large", "DOCUMENT_TOO_LARGE"],
  ["inflation_limit", "DOCUMENT_TOO_LARGE"],
  ["parse_timeout", "TIMEOUT"],
]);

/** Runs so many at once; the others wait in order. */
function createTurns(atOnce: number): <T>(work: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = [];
  let running = 0;
  return async (work) => {
    if (running >= atOnce) await new Promise<void>((resolve) => waiting.push(resolve));
    else running += 1;
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      // The turn is handed on, or given back.
      if (next === undefined) running -= 1;
      else next();
    }
  };
}
